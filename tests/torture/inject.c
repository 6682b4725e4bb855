/* inject.c - a library for LD_PRELOAD in which every allocation, and every system call and libpq call of the list below,
 * can be made to fail once.
 *
 * Preloaded and not compiled in: so the engine's code carries no marks, the program under test is the one that ships
 * (or one built with sanitizers), and calls inside libevent, libpq, libcurl, OpenSSL and LuaJIT fail as well. A place is
 * a call with the chain of its callers, as offsets in modules, so that it has the same name in the next process.
 *
 * CW_TORTURE names the file of the shared page (inject.h). LD_PRELOAD and CW_TORTURE leave the environment at once:
 * PostgreSQL and other programs that the engine starts are not tortured. */
#include "torture/inject.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <link.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#define EXPORT __attribute__((visibility("default")))
#define HERE __attribute__((tls_model("initial-exec")))

/* glibc's own, and the sanitizer's where there is one. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t n, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *ptr, size_t size) __attribute__((weak));

static struct inject *page;
static uint32_t role = INJECT_MAIN;
static _Thread_local HERE bool inside;
static struct { uintptr_t begin, end, base; bool libevent; } modules[INJECT_MODULES];
static uint32_t nmodules;
static uint64_t luajit, libgcc;   /* their numbers as modules */

/* --- places --- */

static uint64_t place_of(uintptr_t address)
{
	for (uint32_t i = 0; i < nmodules; i++)
		if (address >= modules[i].begin && address < modules[i].end)
			return (uint64_t)(i + 1) << 48 | (address - modules[i].base);
	return 0;   /* compiled by LuaJIT, or a library that came later */
}

static int add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t begin = UINTPTR_MAX, end = 0;

	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD)
			continue;
		if (info->dlpi_addr + p->p_vaddr < begin)
			begin = info->dlpi_addr + p->p_vaddr;
		if (info->dlpi_addr + p->p_vaddr + p->p_memsz > end)
			end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
	}
	if (nmodules == INJECT_MODULES || end == 0)
		return 0;
	modules[nmodules].begin = begin;
	modules[nmodules].end = end;
	modules[nmodules].base = info->dlpi_addr;
	if (page->modules[nmodules][0] == '\0')
		strncpy(page->modules[nmodules], info->dlpi_name[0] != '\0' ? info->dlpi_name : "main",
		        sizeof(page->modules[0]) - 1);
	nmodules++;
	if (strstr(info->dlpi_name, "luajit") != NULL)
		luajit = nmodules;
	if (strstr(info->dlpi_name, "libgcc_s") != NULL)
		libgcc = nmodules;
	if (strstr(info->dlpi_name, "libevent") != NULL)
		modules[nmodules - 1].libevent = true;
	return 0;
}

static void note(uint64_t hash, uint32_t kind, const char *name, const uint64_t *stack, uint32_t n)
{
	struct inject_place *p;
	uint32_t at = (uint32_t)hash & (INJECT_FOUND - 1);

	while (__atomic_exchange_n(&page->lock, 1, __ATOMIC_ACQUIRE) != 0)
		;
	for (p = &page->places[at]; p->hash != 0 && p->hash != hash; p = &page->places[at])
		at = (at + 1) & (INJECT_FOUND - 1);
	if (p->hash == 0 && page->nplaces < INJECT_FOUND / 2) {
		page->nplaces++;
		p->hash = hash;
		p->kind = kind;
		memcpy(p->stack, stack, n * sizeof(*stack));
		strncpy(p->name, name, sizeof(p->name) - 1);
	}
	if (p->hash == hash)
		p->passed++;
	__atomic_store_n(&page->lock, 0, __ATOMIC_RELEASE);
}

/* FNV-1a over kind, name and callers. */
static uint64_t hash_of(const char *name, const uint64_t *stack, uint32_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3u;
	for (uint32_t i = 0; i < n; i++)
		for (int b = 0; b < 8; b++)
			h = (h ^ (stack[i] >> (8 * b) & 255)) * 0x100000001b3u;
	return h != 0 ? h : 1;
}

struct walk {
	uint64_t stack[INJECT_STACK];
	uint32_t n, want;
	bool left;   /* our own functions */
};

/* Stops in LuaJIT: its interpreter and compiled code cannot be unwound at every instruction. */
static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg)
{
	static uint64_t own;
	struct walk *w = arg;
	uint64_t place = place_of((uintptr_t)_Unwind_GetIP(context));

	if (own == 0)
		own = place_of((uintptr_t)step) >> 48;
	if (!w->left && place >> 48 == own)
		return _URC_NO_REASON;
	w->left = true;
	w->stack[w->n++] = place;
	return w->n == w->want || place == 0 || place >> 48 == luajit ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

static bool decide(uint32_t kind, const char *name)
{
	struct walk w = { .want = page->depth < INJECT_STACK ? page->depth : INJECT_STACK };
	const uint64_t *stack = w.stack;
	uint64_t hash;
	uint32_t n;

	_Unwind_Backtrace(step, &w);
	n = w.n;
	hash = hash_of(name, stack, n);
	__atomic_fetch_add(&page->passed, 1, __ATOMIC_RELAXED);
	if (page->mode == INJECT_COUNT) {
		note(hash, kind, name, stack, n);
		return false;
	}
	if (hash != page->want)
		return false;
	if (__atomic_load_n(&page->skip, __ATOMIC_RELAXED) > 0) {
		__atomic_fetch_sub(&page->skip, 1, __ATOMIC_RELAXED);
		return false;
	}
	if (__atomic_exchange_n(&page->fired, 1, __ATOMIC_RELAXED) != 0)
		return false;
	page->mode = INJECT_OFF;
	return true;
}

static bool fails(uint32_t kind, const char *name)
{
	int error = errno;
	bool hit;

	if (page == NULL || page->mode == INJECT_OFF || (page->kinds & kind) == 0 || (page->roles & role) == 0 || inside)
		return false;
	inside = true;
	hit = decide(kind, name);
	inside = false;
	errno = error;
	return hit;
}

static void on_child(void)
{
	role = INJECT_CHILDREN;
	inside = false;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CW_TORTURE");
	struct walk warm = { .want = 1 };
	void *shared;
	int fd;

	if (strcmp(program_invocation_short_name, "chainwatch") != 0)
		return;   /* setsid, sh: on the way there */
	unsetenv("LD_PRELOAD");
	fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	unsetenv("CW_TORTURE");
	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED || ((struct inject *)shared)->magic != INJECT_MAGIC)
		return;
	_Unwind_Backtrace(step, &warm);   /* loads what it needs */
	page = shared;
	dl_iterate_phdr(add_module, NULL);
	page->nmodules = nmodules;
	pthread_atfork(NULL, NULL, on_child);
}

/* The unwinder allocates under its own lock: not there. */
#define FAILS_ALLOC(name) (fails_alloc(name, (uintptr_t)__builtin_return_address(0)))

static bool fails_alloc(const char *name, uintptr_t caller)
{
	if (page == NULL || page->mode == INJECT_OFF || place_of(caller) >> 48 == libgcc)
		return false;
	return fails(INJECT_ALLOC, name);
}

/* --- memory --- */

EXPORT void *malloc(size_t size)
{
	if (FAILS_ALLOC("malloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return __interceptor_malloc != NULL ? __interceptor_malloc(size) : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	if (FAILS_ALLOC("calloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return __interceptor_calloc != NULL ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
}

EXPORT void *realloc(void *ptr, size_t size)
{
	if (size > 0 && FAILS_ALLOC("realloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return __interceptor_realloc != NULL ? __interceptor_realloc(ptr, size) : __libc_realloc(ptr, size);
}

/* --- everything else --- */

#define REAL(name) \
	static __typeof__(name) *real; \
	if (real == NULL) { \
		void *found = dlsym(RTLD_NEXT, #name); \
		memcpy(&real, &found, sizeof(real)); \
	}

/* type, name, kind, value and errno of the failure, (parameters), (arguments) */
#define POINT(type, name, kind, value, error, params, args) \
	EXPORT type name params \
	{ \
		REAL(name) \
		if (fails(kind, #name)) { \
			errno = error; \
			return value; \
		} \
		return real args; \
	}
#define SYS(name, error, params, args) POINT(int, name, INJECT_SYS, -1, error, params, args)

POINT(char *, strdup, INJECT_ALLOC, NULL, ENOMEM, (const char *text), (text))
POINT(char *, strndup, INJECT_ALLOC, NULL, ENOMEM, (const char *text, size_t n), (text, n))
POINT(int, posix_memalign, INJECT_ALLOC, ENOMEM, ENOMEM, (void **out, size_t align, size_t size), (out, align, size))

POINT(ssize_t, pread, INJECT_SYS, -1, EIO, (int fd, void *data, size_t len, off_t at), (fd, data, len, at))
POINT(ssize_t, pwrite, INJECT_SYS, -1, ENOSPC, (int fd, const void *data, size_t len, off_t at), (fd, data, len, at))

/* libevent reads and writes a pair of sockets, from a signal handler to itself, and nothing else: what it does when that
 * fails, which it cannot, is to end the process. */
static bool from_libevent(uintptr_t caller)
{
	uint64_t module = place_of(caller) >> 48;

	return module > 0 && modules[module - 1].libevent;
}

#define BUT_LIBEVENT(name, error, params, args) \
	EXPORT ssize_t name params \
	{ \
		REAL(name) \
		if (!from_libevent((uintptr_t)__builtin_return_address(0)) && fails(INJECT_SYS, #name)) { \
			errno = error; \
			return -1; \
		} \
		return real args; \
	}
BUT_LIBEVENT(read, EIO, (int fd, void *data, size_t len), (fd, data, len))
BUT_LIBEVENT(write, ENOSPC, (int fd, const void *data, size_t len), (fd, data, len))

/* A connection that broke stays broken: the other direction hears of it too, as callers count on. */
#define CUT(name, error, params, args) \
	EXPORT ssize_t name params \
	{ \
		REAL(name) \
		if (fails(INJECT_SYS, #name)) { \
			shutdown(fd, SHUT_RDWR); \
			errno = error; \
			return -1; \
		} \
		return real args; \
	}
CUT(readv, ECONNRESET, (int fd, const struct iovec *v, int n), (fd, v, n))
CUT(recv, ECONNRESET, (int fd, void *data, size_t len, int flags), (fd, data, len, flags))
CUT(writev, EPIPE, (int fd, const struct iovec *v, int n), (fd, v, n))
CUT(send, EPIPE, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags))
POINT(ssize_t, recvmsg, INJECT_SYS, -1, ENOMEM, (int fd, struct msghdr *m, int flags), (fd, m, flags))
POINT(ssize_t, sendto, INJECT_SYS, -1, ENOBUFS, (int fd, const void *data, size_t len, int flags,
      const struct sockaddr *to, socklen_t to_len), (fd, data, len, flags, to, to_len))
POINT(ssize_t, sendmsg, INJECT_SYS, -1, ENOBUFS, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
POINT(ssize_t, getrandom, INJECT_SYS, -1, EINTR, (void *data, size_t len, unsigned flags), (data, len, flags))

SYS(accept4, EMFILE, (int fd, struct sockaddr *to, socklen_t *len, int flags), (fd, to, len, flags))
SYS(socket, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
SYS(socketpair, EMFILE, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))
SYS(connect, ENETUNREACH, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
SYS(bind, EADDRNOTAVAIL, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
SYS(listen, EADDRINUSE, (int fd, int n), (fd, n))
SYS(setsockopt, ENOBUFS, (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len))
SYS(getsockopt, ENOBUFS, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len))
SYS(getsockname, ENOBUFS, (int fd, struct sockaddr *a, socklen_t *len), (fd, a, len))
SYS(epoll_create1, EMFILE, (int flags), (flags))
SYS(epoll_ctl, ENOMEM, (int fd, int op, int target, struct epoll_event *event), (fd, op, target, event))
SYS(epoll_wait, EINTR, (int fd, struct epoll_event *events, int n, int ms), (fd, events, n, ms))
SYS(poll, EINTR, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
SYS(eventfd, EMFILE, (unsigned n, int flags), (n, flags))
SYS(pipe, EMFILE, (int fds[2]), (fds))
SYS(pipe2, EMFILE, (int fds[2], int flags), (fds, flags))
SYS(inotify_init1, EMFILE, (int flags), (flags))
SYS(inotify_add_watch, ENOSPC, (int fd, const char *path, uint32_t mask), (fd, path, mask))
SYS(memfd_create, EMFILE, (const char *name, unsigned flags), (name, flags))
SYS(dup, EMFILE, (int fd), (fd))
SYS(dup2, EBUSY, (int fd, int to), (fd, to))
SYS(fsync, EIO, (int fd), (fd))
SYS(fdatasync, EIO, (int fd), (fd))
SYS(syncfs, EIO, (int fd), (fd))
SYS(ftruncate, ENOSPC, (int fd, off_t len), (fd, len))
SYS(truncate, ENOSPC, (const char *path, off_t len), (path, len))
SYS(rename, EIO, (const char *from, const char *to), (from, to))
SYS(renameat2, EIO, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
SYS(unlink, EIO, (const char *path), (path))
SYS(rmdir, EIO, (const char *path), (path))
SYS(mkdir, ENOSPC, (const char *path, mode_t mode), (path, mode))
SYS(chmod, EPERM, (const char *path, mode_t mode), (path, mode))
SYS(flock, ENOLCK, (int fd, int how), (fd, how))
SYS(stat, EIO, (const char *path, struct stat *st), (path, st))
SYS(lstat, EIO, (const char *path, struct stat *st), (path, st))
SYS(fstat, EIO, (int fd, struct stat *st), (fd, st))
SYS(access, EACCES, (const char *path, int mode), (path, mode))
POINT(pid_t, fork, INJECT_SYS, -1, EAGAIN, (void), ())
POINT(FILE *, fopen, INJECT_SYS, NULL, EMFILE, (const char *path, const char *mode), (path, mode))
POINT(int, fflush, INJECT_SYS, EOF, ENOSPC, (FILE *f), (f))
POINT(DIR *, opendir, INJECT_SYS, NULL, EMFILE, (const char *path), (path))
POINT(int, pthread_create, INJECT_SYS, EAGAIN, EAGAIN, (pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *),
      void *arg), (t, a, fn, arg))
POINT(int, getaddrinfo, INJECT_SYS, EAI_MEMORY, ENOMEM, (const char *host, const char *port, const struct addrinfo *hints,
      struct addrinfo **out), (host, port, hints, out))
POINT(void *, mmap, INJECT_SYS, MAP_FAILED, ENOMEM, (void *at, size_t len, int prot, int flags, int fd, off_t off),
      (at, len, prot, flags, fd, off))

/* What the failures above do themselves is none. */
EXPORT int shutdown(int fd, int how)
{
	REAL(shutdown)
	if (fails(INJECT_SYS, "shutdown")) {
		errno = ENOTCONN;
		return -1;
	}
	return real(fd, how);
}

/* Fails, but has closed: what a failing close leaves on Linux. */
EXPORT int fclose(FILE *f)
{
	REAL(fclose)
	bool failing = fails(INJECT_SYS, "fclose");
	int rc = real(f);

	if (!failing)
		return rc;
	errno = ENOSPC;
	return EOF;
}

EXPORT int open(const char *path, int flags, ...)
{
	REAL(open)
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (fails(INJECT_SYS, "open")) {
		errno = EMFILE;
		return -1;
	}
	return real(path, flags, mode);
}

EXPORT int fcntl(int fd, int cmd, ...)
{
	REAL(fcntl)
	va_list args;
	void *arg;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	if (fails(INJECT_SYS, "fcntl")) {
		errno = EMFILE;
		return -1;
	}
	return real(fd, cmd, arg);
}

/* LuaJIT ends the process when it cannot protect its code; there is nothing to prove about that. */
EXPORT int mprotect(void *at, size_t len, int prot)
{
	REAL(mprotect)

	if (place_of((uintptr_t)__builtin_return_address(0)) >> 48 == 1 && fails(INJECT_SYS, "mprotect")) {
		errno = ENOMEM;
		return -1;
	}
	return real(at, len, prot);
}

EXPORT long syscall(long nr, ...)
{
	REAL(syscall)
	va_list args;
	long a[6];

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (nr == SYS_clone && fails(INJECT_SYS, "clone")) {
		errno = EAGAIN;
		return -1;
	}
	return real(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- libpq --- */

#define PQ(type, name, value, params, args) POINT(type, name, INJECT_PQ, value, ENOMEM, params, args)

PQ(PGconn *, PQconnectdb, NULL, (const char *conninfo), (conninfo))
PQ(PGconn *, PQconnectStartParams, NULL, (const char *const *names, const char *const *values, int expand),
   (names, values, expand))
PQ(PostgresPollingStatusType, PQconnectPoll, PGRES_POLLING_FAILED, (PGconn *c), (c))
PQ(PQconninfoOption *, PQconninfoParse, NULL, (const char *conninfo, char **msg), (conninfo, msg))
PQ(int, PQsocket, -1, (const PGconn *c), (c))
PQ(int, PQsetnonblocking, -1, (PGconn *c, int on), (c, on))
PQ(int, PQenterPipelineMode, 0, (PGconn *c), (c))
PQ(int, PQpipelineSync, 0, (PGconn *c), (c))
PQ(int, PQsendFlushRequest, 0, (PGconn *c), (c))
PQ(int, PQsendPrepare, 0, (PGconn *c, const char *name, const char *sql, int n, const Oid *types),
   (c, name, sql, n, types))
PQ(int, PQsendQueryParams, 0, (PGconn *c, const char *sql, int n, const Oid *types, const char *const *values,
   const int *lengths, const int *formats, int format), (c, sql, n, types, values, lengths, formats, format))
PQ(int, PQsendQueryPrepared, 0, (PGconn *c, const char *name, int n, const char *const *values, const int *lengths,
   const int *formats, int format), (c, name, n, values, lengths, formats, format))
PQ(int, PQconsumeInput, 0, (PGconn *c), (c))
PQ(int, PQflush, -1, (PGconn *c), (c))
PQ(PGcancel *, PQgetCancel, NULL, (PGconn *c), (c))
PQ(int, PQcancel, 0, (PGcancel *cancel, char *text, int size), (cancel, text, size))
PQ(PGresult *, PQexec, NULL, (PGconn *c, const char *sql), (c, sql))
PQ(PGresult *, PQexecParams, NULL, (PGconn *c, const char *sql, int n, const Oid *types, const char *const *values,
   const int *lengths, const int *formats, int format), (c, sql, n, types, values, lengths, formats, format))

/* As libpq does it when it has no room for a result: what came is dropped, an error stands in its place. */
EXPORT PGresult *PQgetResult(PGconn *c)
{
	REAL(PQgetResult)
	PGresult *result = real(c);

	if (result == NULL || !fails(INJECT_PQ, "PQgetResult"))
		return result;
	PQclear(result);
	return PQmakeEmptyPGresult(c, PGRES_FATAL_ERROR);
}
