#include "pg/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#define READY_WAIT_S   300              /* crash recovery after a power failure may take minutes */
#define OLD_WAIT_S     60               /* a fast shutdown ends with a checkpoint */
#define LOG_ROTATE     (16L << 20)      /* postgres.log is moved aside at a start when it is larger */
#define DIR_FD         3                /* in the server: the data directory, where its path is closed to it */
#define SOCKET_NAME    "/.s.PGSQL.5432"

/* Owned by who started it. One process of ours: the postmaster. */
struct cw_cluster {
	char dir[PATH_MAX];                 /* absolute */
	char data[PATH_MAX], log_path[PATH_MAX], bin[PATH_MAX];
	char run[PATH_MAX];
	char conninfo[2 * PATH_MAX + 64];
	char shared_buffers[32];
	char archive_command[2 * PATH_MAX]; /* "archive_command=...", empty: no archiving */
	char archive_timeout[48];
	int ready_wait_s;
	uid_t uid;                          /* of the server */
	gid_t gid;
	bool drop;                          /* we are root: change to uid */
	bool by_fd, scratch;                /* by_fd: the server's user cannot reach `data` by its path */
	int lock_fd;
	pid_t pid;                          /* 0: not running */
	int64_t launched_us;
};

static void nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int join(char out[PATH_MAX], const char *dir, const char *name, struct cw_err *err)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "path of the data directory is too long: \"%.60s...\"", dir);
	return 0;
}

/* ---- processes ---- */

/* The child's side of spawn: never returns. PDEATHSIG comes after the change of user, which clears it. */
static _Noreturn void become(const struct cw_cluster *c, char *const argv[], int dir_fd, int log_fd, int death_signal,
                             pid_t parent)
{
	static char *const env[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", (char *)"LC_ALL=C", (char *)"TZ=UTC",
		                         NULL };
	sigset_t none;

	setsid();                           /* Ctrl-C in the engine's terminal is for the engine */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	int null_fd = open("/dev/null", O_RDWR);

	/* Out of the way first: one of them may be a low number. */
	dir_fd = dir_fd >= 0 ? fcntl(dir_fd, F_DUPFD, 10) : -1;
	log_fd = fcntl(log_fd, F_DUPFD, 10);
	dup2(null_fd, 0);
	dup2(log_fd, 1);
	dup2(log_fd, 2);
	if (dir_fd >= 0)
		dup2(dir_fd, DIR_FD);
	close_range(dir_fd >= 0 ? DIR_FD + 1 : DIR_FD, ~0U, 0);
	umask(077);
	if (chdir("/") != 0)
		_exit(126);
	if (c->drop && (setgroups(0, NULL) != 0 || setresgid(c->gid, c->gid, c->gid) != 0 ||
	                setresuid(c->uid, c->uid, c->uid) != 0)) {
		dprintf(2, "could not change to user id %ld: %s\n", (long)c->uid, strerror(errno));
		_exit(126);
	}
	if (death_signal != 0 && prctl(PR_SET_PDEATHSIG, death_signal) != 0)
		_exit(126);
	if (getppid() != parent)            /* it died before the line above */
		_exit(126);
	execve(argv[0], argv, env);
	dprintf(2, "could not run \"%s\": %s\n", argv[0], strerror(errno));
	_exit(127);
}

static pid_t spawn(const struct cw_cluster *c, char *const argv[], const char *dir, int death_signal,
                   struct cw_err *err)
{
	int log_fd = open(c->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int dir_fd = -1;
	pid_t parent = getpid(), pid;

	if (log_fd < 0) {
		cw_err_set(err, CW_ERR_SYSTEM, "could not open \"%s\": %s", c->log_path, strerror(errno));
		return -1;
	}
	if (c->by_fd && (dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
		cw_err_set(err, CW_ERR_SYSTEM, "could not open \"%s\": %s", dir, strerror(errno));
		close(log_fd);
		return -1;
	}
	pid = fork();
	if (pid == 0)
		become(c, argv, dir_fd, log_fd, death_signal, parent);
	if (pid < 0)
		cw_err_set(err, CW_ERR_SYSTEM, "could not fork: %s", strerror(errno));
	close(log_fd);
	if (dir_fd >= 0)
		close(dir_fd);
	return pid;
}

static int reap(pid_t pid, int *status)
{
	pid_t got;

	do
		got = waitpid(pid, status, 0);
	while (got < 0 && errno == EINTR);
	return got == pid ? 0 : -1;
}

/* What the server's log says since `from`: its last line with FATAL or PANIC, or else its last line. */
static void last_words(const struct cw_cluster *c, off_t from, char *out, size_t size)
{
	char text[8192], *line, *save = NULL, *best = NULL;
	int fd = open(c->log_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, from) : 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *fatal = strstr(line, "FATAL:");
		bool sure = best != NULL && (strncmp(best, "FATAL:", 6) == 0 || strncmp(best, "PANIC:", 6) == 0);

		if (fatal == NULL)
			fatal = strstr(line, "PANIC:");
		if (fatal != NULL)
			best = fatal;
		else if (!sure && strncmp(line, "HINT", 4) != 0)
			best = line;
	}
	snprintf(out, size, "%s", best != NULL ? best : "no message");
}

static off_t log_size(const struct cw_cluster *c)
{
	struct stat st;

	return stat(c->log_path, &st) == 0 ? st.st_size : 0;
}

/* Runs a program as the server's user to its end; what it prints goes to postgres.log. */
static int run(const struct cw_cluster *c, char *const argv[], const char *dir, struct cw_err *err)
{
	off_t from = log_size(c);
	char words[256];
	pid_t pid = spawn(c, argv, dir, SIGKILL, err);
	int status;

	if (pid < 0)
		return -1;
	if (reap(pid, &status) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_words(c, from, words, sizeof(words));
	return cw_err_set(err, CW_ERR_INTERNAL, "\"%s\" failed: %s (see \"%s\")", argv[0], words, c->log_path);
}

/* Whether the server's user can walk to the directory. */
static bool reachable(const struct cw_cluster *c, const char *dir)
{
	int status;
	pid_t pid;

	if (!c->drop)
		return true;
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) != 0 || setresgid(c->gid, c->gid, c->gid) != 0 ||
		    setresuid(c->uid, c->uid, c->uid) != 0)
			_exit(1);
		_exit(chdir(dir) == 0 ? 0 : 1);
	}
	return pid > 0 && reap(pid, &status) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- where things are ---- */

static bool has_server(const char *bin)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/postgres", bin) < (int)sizeof(path) && access(path, X_OK) == 0;
}

/* The first line that a program prints. */
static bool first_line(const char *command, char *out, size_t size)
{
	FILE *p = popen(command, "re");
	bool ok = p != NULL && fgets(out, (int)size, p) != NULL;

	if (p != NULL)
		pclose(p);
	if (ok)
		out[strcspn(out, "\n")] = '\0';
	return ok;
}

/* Highest version below /usr/lib/postgresql, or `wanted` if it is not 0. */
static bool find_debian(int wanted, char out[PATH_MAX])
{
	DIR *d = opendir("/usr/lib/postgresql");
	struct dirent *e;
	int best = 0;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char bin[PATH_MAX];
		int version = atoi(e->d_name);

		snprintf(bin, sizeof(bin), "/usr/lib/postgresql/%s/bin", e->d_name);
		if (version > best && (wanted == 0 || version == wanted) && has_server(bin)) {
			best = version;
			strcpy(out, bin);
		}
	}
	if (d != NULL)
		closedir(d);
	return best > 0;
}

static bool find_in_path(char out[PATH_MAX])
{
	const char *path = getenv("PATH");

	while (path != NULL && *path != '\0') {
		size_t n = strcspn(path, ":");

		if (n > 0 && n < PATH_MAX && snprintf(out, PATH_MAX, "%.*s", (int)n, path) > 0 && has_server(out))
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

/* Major version that made the data directory; 0: there is none yet. */
static int data_version(const struct cw_cluster *c)
{
	char path[PATH_MAX], text[16] = "";
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/PG_VERSION", c->data) >= (int)sizeof(path) || (f = fopen(path, "re")) == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) == NULL)
		text[0] = '\0';
	fclose(f);
	return atoi(text);
}

/* "postgres (PostgreSQL) 15.20 (Debian ...)"; any version will do where `wanted` is 0. */
static bool is_version(const char *bin, int wanted)
{
	char command[PATH_MAX + 32], line[128];
	const char *number;

	if (!has_server(bin) || strchr(bin, '\'') != NULL)
		return false;
	snprintf(command, sizeof(command), "'%s/postgres' --version", bin);
	return first_line(command, line, sizeof(line)) && (number = strstr(line, "(PostgreSQL) ")) != NULL &&
	       (wanted == 0 || atoi(number + strlen("(PostgreSQL) ")) == wanted);
}

static int find_bin(struct cw_cluster *c, const char *given, struct cw_err *err)
{
	int version = data_version(c);

	if (given != NULL) {
		if (strlen(given) >= sizeof(c->bin) || !has_server(given))
			return cw_err_set(err, CW_ERR_INVALID, "no PostgreSQL server in \"%s\"", given);
		strcpy(c->bin, given);
		return 0;
	}
	if (find_debian(version, c->bin) ||
	    (first_line("pg_config --bindir 2>/dev/null", c->bin, sizeof(c->bin)) && is_version(c->bin, version)) ||
	    (find_in_path(c->bin) && is_version(c->bin, version)))
		return 0;
	if (version != 0)
		return cw_err_set(err, CW_ERR_INTERNAL, "\"%s\" was made by PostgreSQL %d, which is not installed", c->data,
		                  version);
	return cw_err_set(err, CW_ERR_INTERNAL, "no PostgreSQL server is installed; install it, or set DATABASE_URL");
}

static int choose_user(struct cw_cluster *c, struct cw_err *err)
{
	struct stat st;
	struct passwd *pw;
	bool exists = stat(c->data, &st) == 0;

	c->uid = geteuid();
	c->gid = getegid();
	if (c->uid != 0) {
		if (exists && st.st_uid != c->uid)
			return cw_err_set(err, CW_ERR_DENIED, "\"%s\" belongs to user id %ld, not to user id %ld", c->data,
			                  (long)st.st_uid, (long)c->uid);
		return 0;
	}
	pw = exists && st.st_uid != 0 ? getpwuid(st.st_uid) : getpwnam("postgres");
	if (pw == NULL)
		pw = getpwnam("nobody");
	if (pw == NULL || pw->pw_uid == 0)
		return cw_err_set(err, CW_ERR_DENIED, "PostgreSQL does not run as root, and there is no user \"postgres\" or "
		                                      "\"nobody\" to run it");
	c->uid = pw->pw_uid;
	c->gid = pw->pw_gid;
	c->drop = true;
	return 0;
}

static int make_dir(const char *path, mode_t mode, struct cw_err *err)
{
	char parent[PATH_MAX];
	char *slash;

	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno == ENOENT && strlen(path) < sizeof(parent)) {
		strcpy(parent, path);
		slash = strrchr(parent, '/');
		if (slash != NULL && slash != parent) {
			*slash = '\0';
			if (make_dir(parent, 0755, err) != 0)
				return -1;
			if (mkdir(path, mode) == 0 || errno == EEXIST)
				return 0;
		}
	}
	return cw_err_set(err, CW_ERR_SYSTEM, "could not make directory \"%s\": %s", path, strerror(errno));
}

/* A directory of the server's user that nobody else may enter (but root). */
static int make_private(const struct cw_cluster *c, const char *path, struct cw_err *err)
{
	if (make_dir(path, 0700, err) != 0)
		return -1;
	if ((c->drop && chown(path, c->uid, c->gid) != 0) || chmod(path, 0700) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not hand over \"%s\": %s", path, strerror(errno));
	return 0;
}

static bool usable_run_dir(const struct cw_cluster *c, const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == c->uid && (st.st_mode & 0777) == 0700;
}

/* In /tmp: a random name, remembered in the file "run_dir", so that the next start takes the same one. */
static int make_tmp_run_dir(struct cw_cluster *c, struct cw_err *err)
{
	char note[PATH_MAX];
	FILE *f;

	if (join(note, c->dir, "run_dir", err) != 0)
		return -1;
	f = fopen(note, "re");
	if (f != NULL) {
		bool ok = fgets(c->run, sizeof(c->run), f) != NULL;

		fclose(f);
		c->run[strcspn(c->run, "\n")] = '\0';
		if (ok && usable_run_dir(c, c->run))
			return 0;
	}
	strcpy(c->run, "/tmp/cw-XXXXXX");
	if (mkdtemp(c->run) == NULL)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not make a directory for the socket in /tmp: %s",
		                  strerror(errno));
	if (make_private(c, c->run, err) != 0)
		return -1;
	f = fopen(note, "we");
	if (f == NULL)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not write \"%s\": %s", note, strerror(errno));
	fprintf(f, "%s\n", c->run);
	fclose(f);
	return 0;
}

static int make_run_dir(struct cw_cluster *c, struct cw_err *err)
{
	const size_t limit = sizeof(((struct sockaddr_un *)0)->sun_path);

	/* A comma would end the path in unix_socket_directories and in libpq's list of hosts. */
	if (join(c->run, c->dir, "run", err) != 0)
		return -1;
	if (!c->by_fd && strlen(c->run) + sizeof(SOCKET_NAME ".lock") <= limit && strpbrk(c->run, ",'\"\\ ") == NULL)
		return make_private(c, c->run, err);
	return make_tmp_run_dir(c, err);
}

/* A POSIX lock: not inherited by children, gone with the process. */
static int take_lock(struct cw_cluster *c, struct cw_err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX];

	if (join(path, c->dir, "lock", err) != 0)
		return -1;
	c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (c->lock_fd < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not open \"%s\": %s", path, strerror(errno));
	if (fcntl(c->lock_fd, F_SETLK, &lock) == 0)
		return 0;
	if (fcntl(c->lock_fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		return cw_err_set(err, CW_ERR_BUSY, "\"%s\" is in use by process %ld", c->dir, (long)lock.l_pid);
	return cw_err_set(err, CW_ERR_BUSY, "\"%s\" is in use", c->dir);
}

/* ---- a server from before ---- */

/* postmaster.pid: line 1 is the process, line 8 the status. */
static pid_t read_pid_file(const struct cw_cluster *c, char status[16])
{
	char path[PATH_MAX], line[PATH_MAX];
	pid_t pid = 0;
	FILE *f;

	status[0] = '\0';
	if (snprintf(path, sizeof(path), "%s/postmaster.pid", c->data) >= (int)sizeof(path) ||
	    (f = fopen(path, "re")) == NULL)
		return 0;
	for (int i = 1; fgets(line, sizeof(line), f) != NULL; i++) {
		if (i == 1)
			pid = (pid_t)strtol(line, NULL, 10);
		if (i == 8)
			snprintf(status, 16, "%.15s", line);
	}
	fclose(f);
	return pid;
}

/* A process that works in the data directory, as every PostgreSQL process does; 0: none. */
static pid_t process_on(const struct cw_cluster *c, pid_t first)
{
	struct stat data, cwd;
	struct dirent *e;
	pid_t found = 0;
	char path[64];
	DIR *d;

	if (stat(c->data, &data) != 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%ld/cwd", (long)first);
	if (first > 0 && stat(path, &cwd) == 0 && cwd.st_ino == data.st_ino && cwd.st_dev == data.st_dev)
		return first;
	d = opendir("/proc");
	while (d != NULL && found == 0 && (e = readdir(d)) != NULL) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		snprintf(path, sizeof(path), "/proc/%ld/cwd", (long)pid);
		if (pid > 0 && stat(path, &cwd) == 0 && cwd.st_ino == data.st_ino && cwd.st_dev == data.st_dev)
			found = pid;
	}
	if (d != NULL)
		closedir(d);
	return found;
}

/* We hold the lock, so a server on the directory has lost its engine and is ending: told to again, in case it was
 * not. Then the pid file is removed if PostgreSQL would misread it: its process is a zombie, or the number now belongs
 * to somebody else; and the one of the socket, which says the same. */
static int await_old(const struct cw_cluster *c, struct cw_err *err)
{
	int64_t deadline = cw_clock_mono_us() + OLD_WAIT_S * INT64_C(1000000);
	char status[16], path[PATH_MAX];
	pid_t noted = read_pid_file(c, status), pid;
	bool told = false;

	if (noted == 0)
		return 0;
	while ((pid = process_on(c, noted)) != 0) {
		if (!told) {
			cw_log(CW_LOG_INFO, "pg", "waiting for the server of an earlier run to end", "pid=%ld", (long)pid);
			if (pid == noted)
				kill(pid, SIGINT);
			told = true;
		}
		if (cw_clock_mono_us() > deadline)
			return cw_err_set(err, CW_ERR_BUSY, "PostgreSQL process %ld still runs on \"%s\"", (long)pid, c->data);
		nap_ms(5);
	}
	if (join(path, c->data, "postmaster.pid", err) == 0 && (noted = read_pid_file(c, status)) > 0 && kill(noted, 0) == 0)
		unlink(path);
	if (join(path, c->run, SOCKET_NAME ".lock", err) == 0)
		unlink(path);
	return 0;
}

/* ---- initdb ---- */

static int write_file(const char *dir, const char *name, const char *mode, const char *text, struct cw_err *err)
{
	char path[PATH_MAX];
	FILE *f;

	if (join(path, dir, name, err) != 0)
		return -1;
	f = fopen(path, mode);
	if (f != NULL) {
		bool good = fputs(text, f) >= 0;

		if (fclose(f) == 0 && good)
			return 0;
	}
	return cw_err_set(err, CW_ERR_SYSTEM, "could not write \"%s\": %s", path, strerror(errno));
}

/* Who may enter: the operating system tells who asks. Written at each start, as the engine's user may change. */
static int write_access(const struct cw_cluster *c, const char *dir, struct cw_err *err)
{
	uid_t users[] = { 0, geteuid(), c->uid };
	char text[512] = "# written by chainwatch at each start\n";

	for (size_t i = 0; i < sizeof(users) / sizeof(*users); i++) {
		struct passwd *pw = getpwuid(users[i]);
		size_t n = strlen(text);

		if (pw != NULL)
			snprintf(text + n, sizeof(text) - n, "chainwatch \"%s\" chainwatch\n", pw->pw_name);
	}
	if (write_file(dir, "pg_ident.conf", "we", text, err) != 0)
		return -1;
	return write_file(dir, "pg_hba.conf", "we",
	                  "# written by chainwatch at each start\n"
	                  "local all all peer map=chainwatch\n"
	                  "local replication all peer map=chainwatch\n", err);
}

/* What an operator may change: it is written once. What the engine relies on is given on the command line. */
static const char settings[] =
	"\n# chainwatch\n"
	"max_connections = 100\nmax_wal_size = 2GB\n"                 /* fewer full pages in the log under steady inserts */
	"min_wal_size = 512MB\n"               /* segments are used again instead of made anew */
	"wal_init_zero = off\n"                /* else each new segment is 16 MB of zeros, synced, while every commit waits */
	"checkpoint_timeout = 15min\nwal_buffers = 16MB\n"
	"jit = off\n"                          /* costs more than it saves on queries of a millisecond */
	"random_page_cost = 1.1\n"
	"autovacuum_vacuum_insert_scale_factor = 0.05\n"   /* visibility map and BRIN summaries keep up with inserts */
	"log_min_messages = warning\nlog_checkpoints = off\n"
	"log_line_prefix = '%m [%p] '\n"
	"timezone = 'UTC'\nlog_timezone = 'UTC'\n";

static char *server_path(const struct cw_cluster *c, const char *dir, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s", dir);
	if (c->by_fd)
		snprintf(out, PATH_MAX, "/proc/self/fd/%d", DIR_FD);
	return out;
}

static void remove_tree(const char *path)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", "--", path, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		reap(pid, &status);
}

/* CREATE DATABASE in single-user mode: the directory is complete before anybody sees it. Not every build has LZ4. */
static int create_database(const struct cw_cluster *c, const char *dir, struct cw_err *err)
{
	char path[PATH_MAX];
	char *argv[] = { (char *)"/bin/sh", (char *)"-c",
		             (char *)"\"$0/postgres\" -D \"$1\" -c wal_compression=lz4 -C wal_compression >/dev/null 2>&1 "
		                     "&& m=lz4 || m=on; { echo \"wal_compression = $m\" >>\"$1/postgresql.conf\"; } 2>/dev/null; "
		                     "echo 'CREATE DATABASE chainwatch' | \"$0/postgres\" --single -F -D \"$1\" postgres",
		             (char *)c->bin, server_path(c, dir, path), NULL };

	return run(c, argv, dir, err);
}

static int initdb(const struct cw_cluster *c, const char *dir, struct cw_err *err)
{
	char program[PATH_MAX], path[PATH_MAX];
	char *argv[] = { program, (char *)"-D", server_path(c, dir, path), (char *)"-U", (char *)"chainwatch",
		             (char *)"-A", (char *)"peer", (char *)"-E", (char *)"UTF8", (char *)"--locale=C",
		             (char *)"-N", (char *)"-k", NULL };

	if (join(program, c->bin, "initdb", err) != 0)
		return -1;
	remove_tree(dir);
	if (make_private(c, dir, err) != 0 || run(c, argv, dir, err) != 0 ||
	    write_file(dir, "postgresql.conf", "ae", settings, err) != 0)
		return -1;
	return create_database(c, dir, err);
}

/* initdb ran without syncing its thousand files one by one; this does it at once. */
static void sync_all(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		syncfs(fd);
		close(fd);
	}
}

static int copy_tree(const char *from, const char *to, struct cw_err *err)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/bin/cp", "cp", "-a", "--", from, to, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || reap(pid, &status) != 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return cw_err_set(err, CW_ERR_INTERNAL, "could not copy \"%s\" to \"%s\"", from, to);
	return 0;
}

/* Makes the template if it is not there; two that do it at once both make one, and one of them wins the rename. */
static int copy_template(const struct cw_cluster *c, const char *template_dir, const char *to, struct cw_err *err)
{
	char mine[PATH_MAX];
	struct stat st;

	if (stat(template_dir, &st) != 0) {
		if (snprintf(mine, sizeof(mine), "%s.%ld", template_dir, (long)getpid()) >= (int)sizeof(mine))
			return cw_err_set(err, CW_ERR_INVALID, "path of the template is too long");
		if (initdb(c, mine, err) != 0)
			return -1;
		if (rename(mine, template_dir) != 0)
			remove_tree(mine);
	}
	remove_tree(to);
	return copy_tree(template_dir, to, err);
}

static int make_data(struct cw_cluster *c, const char *template_dir, struct cw_err *err)
{
	char fresh[PATH_MAX];
	bool by_fd = c->by_fd;

	if (join(fresh, c->dir, "data.new", err) != 0)
		return -1;
	if (template_dir != NULL) {
		c->by_fd = false;
		if (copy_template(c, template_dir, fresh, err) != 0)
			return -1;
		c->by_fd = by_fd;
	} else if (initdb(c, fresh, err) != 0) {
		return -1;
	}
	if (!c->scratch)
		sync_all(fresh);
	if (rename(fresh, c->data) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not rename \"%s\": %s", fresh, strerror(errno));
	if (!c->scratch)
		sync_all(c->dir);
	return 0;
}

/* ---- start and stop ---- */

static int launch(struct cw_cluster *c, struct cw_err *err)
{
	char program[PATH_MAX], path[PATH_MAX], sockets[PATH_MAX + 32], buffers[64];
	char *argv[32];
	int n = 0;

	if (join(program, c->bin, "postgres", err) != 0)
		return -1;
	snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", c->run);
	snprintf(buffers, sizeof(buffers), "shared_buffers=%s", c->shared_buffers);
	argv[n++] = program;
	argv[n++] = (char *)"-D";
	argv[n++] = server_path(c, c->data, path);
	const char *const always[] = { sockets, buffers, "listen_addresses=", "port=5432", "unix_socket_permissions=0700",
		                           "logging_collector=off", "log_destination=stderr", "synchronous_commit=on" };
	const char *const never_synced[] = { "fsync=off", "full_page_writes=off" };

	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++) {
		argv[n++] = (char *)"-c";
		argv[n++] = (char *)always[i];
	}
	for (size_t i = 0; c->scratch && i < 2; i++) {
		argv[n++] = (char *)"-c";
		argv[n++] = (char *)never_synced[i];
	}
	const char *const archiving[] = { "archive_mode=on", c->archive_command, c->archive_timeout, "wal_level=replica" };

	/* Said either way: a restored directory must not archive into the repository of the one it came from. */
	if (c->archive_command[0] == '\0') {
		argv[n++] = (char *)"-c";
		argv[n++] = (char *)"archive_mode=off";
	}
	for (size_t i = 0; c->archive_command[0] != '\0' && i < 4; i++) {
		argv[n++] = (char *)"-c";
		argv[n++] = (char *)archiving[i];
	}
	argv[n] = NULL;
	c->launched_us = cw_clock_mono_us();
	c->pid = spawn(c, argv, c->data, SIGINT, err);
	c->pid = c->pid > 0 ? c->pid : 0;
	return c->pid > 0 ? 0 : -1;
}

/* True once: it has ended and is no zombie any more. */
static bool has_ended(struct cw_cluster *c)
{
	int status;
	pid_t got = waitpid(c->pid, &status, WNOHANG);

	return got == c->pid || (got < 0 && errno == ECHILD);
}

static int await_ready(struct cw_cluster *c, off_t log_from, struct cw_err *err)
{
	int64_t deadline = cw_clock_mono_us() + c->ready_wait_s * INT64_C(1000000);
	char status[16], words[256];

	for (;;) {
		if (read_pid_file(c, status) == c->pid && strncmp(status, "ready", 5) == 0)
			return 0;
		if (has_ended(c)) {
			c->pid = 0;
			last_words(c, log_from, words, sizeof(words));
			return cw_err_set(err, CW_ERR_DB, "PostgreSQL on \"%s\" did not start: %s (see \"%s\")", c->data, words,
			                  c->log_path);
		}
		if (cw_clock_mono_us() > deadline)
			return cw_err_set(err, CW_ERR_TIMEOUT, "PostgreSQL on \"%s\" is not ready after %d seconds (see \"%s\")",
			                  c->data, c->ready_wait_s, c->log_path);
		nap_ms(2);
	}
}

static int prepare_dir(struct cw_cluster *c, const struct cw_cluster_conf *conf, struct cw_err *err)
{
	char old[PATH_MAX];

	if (conf->dir == NULL || conf->dir[0] == '\0')
		return cw_err_set(err, CW_ERR_INVALID, "no directory was given for the private PostgreSQL");
	/* 0711: the server's user passes through to data/ and run/, which are its own. */
	if (make_dir(conf->dir, 0711, err) != 0)
		return -1;
	if (realpath(conf->dir, c->dir) == NULL)
		return cw_err_errno(err, CW_ERR_INVALID, "could not resolve \"%s\"", conf->dir);
	if (join(c->data, c->dir, "data", err) != 0 || join(c->log_path, c->dir, "postgres.log", err) != 0 ||
	    take_lock(c, err) != 0)
		return -1;
	if (log_size(c) > LOG_ROTATE && join(old, c->dir, "postgres.log.1", err) == 0)
		rename(c->log_path, old);
	return 0;
}

static int start(struct cw_cluster *c, const struct cw_cluster_conf *conf, struct cw_err *err)
{
	off_t log_from;

	if (prepare_dir(c, conf, err) != 0 || choose_user(c, err) != 0 || find_bin(c, conf->bin_dir, err) != 0)
		return -1;
	c->by_fd = !reachable(c, c->dir);
	if (make_run_dir(c, err) != 0 || await_old(c, err) != 0)
		return -1;
	if (conf->before_start != NULL && conf->before_start(conf->arg, err) != 0)
		return -1;
	if (data_version(c) == 0 && make_data(c, conf->template_dir, err) != 0)
		return -1;
	if (write_access(c, c->data, err) != 0)
		return -1;
	log_from = log_size(c);
	if (launch(c, err) != 0 || await_ready(c, log_from, err) != 0)
		return -1;
	snprintf(c->conninfo, sizeof(c->conninfo), "host=%s port=5432 user=chainwatch dbname=chainwatch", c->run);
	return 0;
}

struct cw_cluster *cw_cluster_start(const struct cw_cluster_conf *conf, struct cw_err *err)
{
	struct cw_cluster *c = cw_zalloc(sizeof(*c));

	c->lock_fd = -1;
	c->scratch = conf->scratch;
	c->ready_wait_s = conf->ready_wait_s > 0 ? conf->ready_wait_s : READY_WAIT_S;
	if (conf->archive_command != NULL) {
		snprintf(c->archive_command, sizeof(c->archive_command), "archive_command=%s", conf->archive_command);
		snprintf(c->archive_timeout, sizeof(c->archive_timeout), "archive_timeout=%d", conf->archive_timeout_s);
	}
	snprintf(c->shared_buffers, sizeof(c->shared_buffers), "%s",
	         conf->shared_buffers != NULL ? conf->shared_buffers : "128MB");
	if (start(c, conf, err) != 0)
		cw_cluster_stop(&c);
	return c;
}

/* Signals and waits; true when it has ended. */
static bool end_with(struct cw_cluster *c, int signal_number, int seconds)
{
	int64_t deadline = cw_clock_mono_us() + seconds * INT64_C(1000000);

	kill(c->pid, signal_number);
	while (cw_clock_mono_us() < deadline) {
		if (has_ended(c))
			return true;
		nap_ms(2);
	}
	return false;
}

void cw_cluster_stop(struct cw_cluster **cluster)
{
	struct cw_cluster *c = *cluster;
	char note[PATH_MAX];

	*cluster = NULL;
	if (c == NULL)
		return;
	/* Immediate shutdown loses nothing that was committed: the next start recovers. */
	if (c->pid > 0 && !end_with(c, SIGINT, 60) && !end_with(c, SIGQUIT, 10))
		end_with(c, SIGKILL, 5);
	if (strncmp(c->run, "/tmp/cw-", 8) == 0 && rmdir(c->run) == 0 && join(note, c->dir, "run_dir", NULL) == 0)
		unlink(note);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	cw_free(c);
}

const char *cw_cluster_conninfo(const struct cw_cluster *cluster)
{
	return cluster->conninfo;
}

const char *cw_cluster_socket_dir(const struct cw_cluster *cluster)
{
	return cluster->run;
}

const char *cw_cluster_data_dir(const struct cw_cluster *cluster)
{
	return cluster->data;
}

void cw_cluster_owner(const struct cw_cluster *cluster, uid_t *uid, gid_t *gid)
{
	*uid = cluster->uid;
	*gid = cluster->gid;
}

const char *cw_cluster_bin_dir(const struct cw_cluster *cluster)
{
	return cluster->bin;
}

bool cw_cluster_reachable(const struct cw_cluster *cluster)
{
	return !cluster->by_fd;
}

pid_t cw_cluster_pid(const struct cw_cluster *cluster)
{
	return cluster->pid;
}

int cw_cluster_revive(struct cw_cluster *cluster, struct cw_err *err)
{
	if (cluster->pid > 0 && !has_ended(cluster))
		return 0;
	if (cluster->pid > 0)
		cw_log(CW_LOG_WARN, "pg", "private PostgreSQL has ended, starting it again", "pid=%ld", (long)cluster->pid);
	cluster->pid = 0;
	return cw_clock_mono_us() < cluster->launched_us + INT64_C(1000000) ? 0 : launch(cluster, err);
}
