/* SPDX-License-Identifier: MIT */
/*
 * Joins starts and ends: one record per process, with its program and run time; at the end, one
 * per process that still runs. Processes that started no program during the run are omitted.
 *
 * Parameter: least=1s omits processes that ran less time.
 */
#include <bpfpack.h>
#include <bpfpack_table.h>

enum { EXEC, EXIT };

/* The members that this module reads, by kind of record. */
static struct {
	struct bp_member pid, ppid, start, comm, file, ran, code, sig;
} of[2];
static uint32_t processes, running;
static uint64_t least;

struct key {
	uint64_t pid, start_ns;
};

struct program {
	char comm[16], file[128];
	uint32_t ppid;
};

static struct bp_table programs = BP_TABLE(struct key, struct program);

/* The layouts of the records declared below. */
struct process {
	uint32_t pid, ppid;
	char comm[16], file[128];
	int32_t exit_code;
	uint32_t sig;
	uint64_t ran;
};

struct still_running {
	uint32_t pid, ppid;
	char comm[16], file[128];
	uint64_t runs;
};

BP_START(about)
{
	uint32_t events = bp_source("events");

	for (int kind = EXEC; kind <= EXIT; kind++) {
		of[kind].pid = bp_member(events, kind, "pid");
		of[kind].ppid = bp_member(events, kind, "ppid");
		of[kind].start = bp_member(events, kind, "start_ns");
	}
	of[EXEC].comm = bp_member(events, EXEC, "comm");
	of[EXEC].file = bp_member(events, EXEC, "file");
	of[EXIT].ran = bp_member(events, EXIT, "duration_ns");
	of[EXIT].code = bp_member(events, EXIT, "exit_code");
	of[EXIT].sig = bp_member(events, EXIT, "sig");
	least = bp_parameter_time("least", 0);
	processes = bp_declare({"name": "processes", "members": {
		"pid": "u32", "ppid": "u32", "comm": "char[16]", "file": "char[128]",
		"exit_code": "s32", "sig": "u32", "ran": "u64 duration_ns"}});
	running = bp_declare({"name": "running", "members": {
		"pid": "u32", "ppid": "u32", "comm": "char[16]", "file": "char[128]",
		"runs": "u64 duration_ns"}});
	return 0;
}

static void copy(char *to, size_t size, struct bp_text text)
{
	memset(to, 0, size);
	memcpy(to, text.at, text.len < size ? text.len : size);
}

BP_RECORDS(batch)
{
	bp_each_record(record, batch) {
		int kind = record.kind == EXIT ? EXIT : EXEC;
		struct key key = {bp_u64(of[kind].pid, record), bp_u64(of[kind].start, record)};
		struct process process = {.pid = key.pid};
		struct program *program;

		if (kind == EXEC) {
			program = bp_table_add(&programs, &key);
			program->ppid = bp_u64(of[EXEC].ppid, record);
			copy(program->comm, sizeof(program->comm), bp_text(of[EXEC].comm, record));
			copy(program->file, sizeof(program->file), bp_text(of[EXEC].file, record));
			continue;
		}
		program = bp_table_find(&programs, &key);
		if (!program)
			continue;
		process.ppid = bp_u64(of[EXIT].ppid, record);
		memcpy(process.comm, program->comm, sizeof(process.comm));
		memcpy(process.file, program->file, sizeof(process.file));
		process.exit_code = bp_u64(of[EXIT].code, record);
		process.sig = bp_u64(of[EXIT].sig, record);
		process.ran = bp_u64(of[EXIT].ran, record);
		bp_table_remove(&programs, &key);
		if (process.ran >= least)
			bp_emit_struct(processes, &process);
	}
	return 0;
}

BP_END()
{
	uint64_t now = bp_clock(BP_MONOTONIC);
	const void *key;
	void *value;

	for (uint32_t at = 0; bp_table_next(&programs, &at, &key, &value);) {
		const struct key *process = key;
		const struct program *program = value;
		struct still_running still = {.pid = process->pid, .ppid = program->ppid};

		memcpy(still.comm, program->comm, sizeof(still.comm));
		memcpy(still.file, program->file, sizeof(still.file));
		still.runs = now - process->start_ns;
		bp_emit_struct(running, &still);
	}
	return 0;
}
