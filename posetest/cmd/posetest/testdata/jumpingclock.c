// Runs a command whose clock of the day, and that of all its children, jumps at each third look: by an hour, a day, fifteen
// years, back and forth. Clocks that only run stay as they are. It traces them all, takes the page with the kernel's fast
// clocks from them, and changes what the system call tells. It exits with the command's code, or 99 if nobody looked.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PTRACE_GET_SYSCALL_INFO
#define PTRACE_GET_SYSCALL_INFO 0x420e
#endif

struct info { // struct ptrace_syscall_info, which older headers have not
	unsigned char op, pad[3];
	unsigned int arch;
	unsigned long long ip, sp, nr, args[6];
};

enum { threads = 4194304 }; // as many ids as Linux has
static char seen[threads];
static long looks[threads]; // where the call that a thread is in writes its answer

static const long hour = 3600, day = 86400, years = 15 * 365 * 86400L;

static void die(const char *what) {
	perror(what);
	exit(99);
}

static long jump(void) {
	const long jumps[] = {0, hour, -day, years, -hour, -2 * years, day};
	static unsigned long n;
	return jumps[n++ / 3 % (sizeof jumps / sizeof *jumps)];
}

static unsigned long jumped;

// takeFastClocks hides the page with the kernel's clocks from a program that begins: it then asks by system call.
static void takeFastClocks(pid_t pid) {
	struct info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0)
		die("jumpingclock: where the stack is");
	long word = sizeof(long), at = info.sp;
	at += (1 + ptrace(PTRACE_PEEKDATA, pid, at, 0) + 1) * word; // argc, argv, 0
	while (ptrace(PTRACE_PEEKDATA, pid, at, 0) != 0)
		at += word;
	for (at += word;; at += 2 * word) { // auxv
		errno = 0;
		long type = ptrace(PTRACE_PEEKDATA, pid, at, 0);
		if (errno)
			die("jumpingclock: what the program was told");
		if (type == AT_NULL)
			return;
		if (type == AT_SYSINFO_EHDR && ptrace(PTRACE_POKEDATA, pid, at, AT_IGNORE) < 0)
			die("jumpingclock: hide the fast clocks");
	}
}

static int clockOfTheDay(unsigned long long id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI; }

// atCall remembers at its begin where a look at the clock goes, and changes it at its end.
static void atCall(pid_t pid) {
	struct info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0)
		return; // it has died
	if (info.op == 1 && info.nr == SYS_clock_gettime && clockOfTheDay(info.args[0]))
		looks[pid] = info.args[1];
	else if (info.op == 1 && info.nr == SYS_gettimeofday)
		looks[pid] = info.args[0];
	else if (info.op == 2 && looks[pid]) {
		long seconds = ptrace(PTRACE_PEEKDATA, pid, looks[pid], 0);
		if (ptrace(PTRACE_POKEDATA, pid, looks[pid], seconds + jump()) == 0)
			jumped++;
		looks[pid] = 0;
	}
}

int main(int argc, char **argv) {
	if (argc < 2) {
		fprintf(stderr, "usage: jumpingclock COMMAND ARGUMENT...\n");
		return 99;
	}
	pid_t first = fork();
	if (first < 0)
		die("jumpingclock: fork");
	if (first == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(argv[1], argv + 1);
		die(argv[1]);
	}
	int status;
	if (waitpid(first, &status, 0) < 0 || ptrace(PTRACE_SETOPTIONS, first, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0)
		die("jumpingclock: trace");
	seen[first] = 1;
	ptrace(PTRACE_SYSCALL, first, 0, 0);
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0)
			die("jumpingclock: wait");
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			seen[pid] = 0;
			if (pid != first)
				continue;
			fprintf(stderr, "jumpingclock: the clock was looked at %lu times\n", jumped);
			if (jumped == 0)
				return 99;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		int sig = WSTOPSIG(status), event = status >> 16;
		if (sig == (SIGTRAP | 0x80)) {
			atCall(pid);
			sig = 0;
		} else if (event == PTRACE_EVENT_EXEC) {
			takeFastClocks(pid);
			sig = 0;
		} else if (event != 0) {
			sig = 0;
		} else if (!seen[pid] && sig == SIGSTOP) { // how a new thread or process begins
			sig = 0;
		}
		seen[pid] = 1;
		ptrace(PTRACE_SYSCALL, pid, 0, sig);
	}
}
