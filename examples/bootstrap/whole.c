/* SPDX-License-Identifier: MIT */
/*
 * bootstrap as one Wasm module, which contains the BPF object, loads it and prints the records:
 *
 *     ecli run bootstrap.wasm [-m MILLISECONDS] [-n COUNT]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wasm_bpf.h>

WASM_BPF_OBJECT(object, "bootstrap.bpf.o");

/* As in bootstrap.bpf.c. */
enum kind { EXEC, EXIT };

struct started {
	enum kind kind;
	uint32_t pid, ppid;
	char comm[16], filename[128];
};

struct ended {
	enum kind kind;
	uint32_t pid, ppid, exit_code, sig;
	uint64_t duration_ns;
	char comm[16];
};

/* The options, and the number of lines printed so far. */
struct run {
	uint64_t least_ns, count, shown;
};

static int32_t show(void *context, void *data, uint32_t len)
{
	const struct started *started = data;
	const struct ended *ended = data;
	struct run *run = context;

	if (run->count && run->shown == run->count)
		return 0;
	if (len >= sizeof(*started) && started->kind == EXEC) {
		if (run->least_ns)
			return 0;
		printf("EXEC  %-16.16s %7" PRIu32 " %7" PRIu32 " %.128s\n", started->comm,
		       started->pid, started->ppid, started->filename);
	} else if (len >= sizeof(*ended) && ended->kind == EXIT) {
		if (ended->duration_ns < run->least_ns)
			return 0;
		printf("EXIT  %-16.16s %7" PRIu32 " %7" PRIu32 " [%" PRIu32 "]", ended->comm,
		       ended->pid, ended->ppid, ended->exit_code);
		if (ended->sig)
			printf(" signal %" PRIu32, ended->sig);
		printf(" %.1f ms\n", ended->duration_ns / 1e6);
	}
	run->shown++;
	return 0;
}

static int usage(const char *name)
{
	fprintf(stderr,
		"usage: %s [-m MILLISECONDS] [-n COUNT]\n"
		"  -m  only ends of processes that ran at least this long\n"
		"  -n  end after this many lines\n",
		name);
	return 2;
}

static bool number(const char *text, uint64_t *to)
{
	char *end;

	errno = 0;
	*to = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

int main(int argc, char **argv)
{
	static const char *const programs[] = {"process_exec", "process_exit"};
	static unsigned char record[256];
	struct run run = {0};
	int option, map, error = 0;
	uint64_t handle;

	while ((option = getopt(argc, argv, "m:n:")) != -1) {
		uint64_t value;

		if (option == '?' || !number(optarg, &value))
			return usage(argv[0]);
		if (option == 'm')
			run.least_ns = value * 1000000;
		else
			run.count = value;
	}
	if (optind != argc)
		return usage(argv[0]);
	handle = wasm_load_bpf_object(object, object_end - object);
	if (!handle) {
		fputs("cannot load the object\n", stderr);
		return 1;
	}
	for (int i = 0; i < 2; i++) {
		if (wasm_attach_bpf_program(handle, programs[i], NULL) < 0) {
			fprintf(stderr, "cannot attach `%s`\n", programs[i]);
			return 1;
		}
	}
	map = wasm_bpf_map_fd_by_name(handle, "events");
	printf("EVENT %-16s %7s %7s FILE / [EXIT CODE]\n", "COMM", "PID", "PPID");
	while (error >= 0 && (!run.count || run.shown < run.count)) {
		fflush(stdout);
		error = wasm_bpf_buffer_poll(handle, map, show, &run, record, sizeof(record), 100);
	}
	fflush(stdout);
	wasm_close_bpf_object(handle);
	/* Ctrl-C is not a failure. */
	return error < 0 && error != -EINTR;
}
