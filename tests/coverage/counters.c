/* The counters of a coverage build lie in memory that a process shares with all it forks.
 *
 * Nothing of a child is lost then: not when it ends by _exit(), not when it crashes or is killed, and the evaluator, which may
 * open no file (pipeline/lockdown.h), needs no exception for its counts. Only the process that began writes the files,
 * at its exit; a program that is killed itself leaves nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern char cw_counters_begin[], cw_counters_end[];   /* counters.ld */
void __real___gcov_exit(void);
void __wrap___gcov_exit(void);
void __gcov_dump(void);
pid_t __wrap___gcov_fork(void);
int __wrap___gcov_execve(const char *path, char *const argv[], char *const envp[]);
int __wrap___gcov_execv(const char *path, char *const argv[]);
int __wrap___gcov_execvp(const char *file, char *const argv[]);

static pid_t owner;

static void share_counters(void)
{
	size_t size = (size_t)(cw_counters_end - cw_counters_begin);

	owner = getpid();
	if (mmap(cw_counters_begin, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
		perror("coverage: cannot share the counters");
		abort();
	}
}

/* Before all constructors, gcov's among them. */
__attribute__((section(".preinit_array"), used)) static void (*const share_first)(void) = share_counters;

void __wrap___gcov_exit(void)
{
	if (getpid() == owner)
		__real___gcov_exit();
}

/* gcov's own write the counters and set them to zero before a fork, which is for counters that are copied: those who share them
 * would lose what they have counted. */
pid_t __wrap___gcov_fork(void)
{
	return fork();
}

static void write_before_exec(void)
{
	if (getpid() == owner)
		__gcov_dump();
}

int __wrap___gcov_execve(const char *path, char *const argv[], char *const envp[])
{
	write_before_exec();
	return execve(path, argv, envp);
}

int __wrap___gcov_execv(const char *path, char *const argv[])
{
	write_before_exec();
	return execv(path, argv);
}

int __wrap___gcov_execvp(const char *file, char *const argv[])
{
	write_before_exec();
	return execvp(file, argv);
}
