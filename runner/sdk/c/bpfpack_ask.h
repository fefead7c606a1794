/* SPDX-License-Identifier: MIT */
/*
 * bpfpack_ask.h: parameters (--wasm-arg) and the package's arguments, as texts and as numbers. A part
 * of bpfpack.h, which is what modules include.
 */
#ifndef BPFPACK_ASK_H
#define BPFPACK_ASK_H

#include "bpfpack_base.h"
#include "bpfpack_json.h"

BP_IMPORT(argument)
int32_t bp_host_argument(const char *name, uint32_t len, char *room, uint32_t size);
BP_IMPORT(parameter)
int32_t bp_host_parameter(const char *name, uint32_t len, char *room, uint32_t size);

typedef int32_t bp_ask(const char *name, uint32_t len, char *room, uint32_t size);

/* The text, with a zero behind it; null where there is none. */
BP_OWN const char *bp_asked(bp_ask *ask, const char *name)
{
	int32_t len = ask(name, strlen(name), NULL, 0);
	char *room;

	if (len < 0)
		return NULL;
	room = bp_memory(len + 1);
	ask(name, strlen(name), room, len);
	return room;
}

BP_OWN const char *bp_parameter(const char *name, const char *otherwise)
{
	const char *text = bp_asked(bp_host_parameter, name);

	return text ? text : otherwise;
}

BP_OWN const char *bp_argument(const char *name, const char *otherwise)
{
	const char *text = bp_asked(bp_host_argument, name);

	return text ? text : otherwise;
}

BP_OWN uint64_t bp_parameter_u64(const char *name, uint64_t otherwise)
{
	const char *text = bp_parameter(name, NULL);

	if (text && !bp_find_number(text, false, &otherwise))
		bp_fail("%s=%s: this is no number", name, text);
	return otherwise;
}

/* A time such as 5ms or 1.5s, in nanoseconds; a number without a unit is nanoseconds. */
BP_OWN uint64_t bp_parameter_time(const char *name, uint64_t otherwise)
{
	const char *text = bp_parameter(name, NULL);

	if (text && !bp_find_number(text, true, &otherwise))
		bp_fail("%s=%s: this is no time; 5ms and 1.5s are", name, text);
	return otherwise;
}

/* A switch: on where it is true, yes, on, 1, or nothing (`--wasm-arg name=`). */
BP_OWN bool bp_parameter_bool(const char *name, bool otherwise)
{
	const char *text = bp_parameter(name, NULL);

	if (text && !bp_find_bool(text, &otherwise))
		bp_fail("%s=%s: this is neither true nor false", name, text);
	return otherwise;
}

BP_OWN bool bp_argument_bool(const char *name, bool otherwise)
{
	const char *text = bp_argument(name, NULL);

	if (text && !bp_find_bool(text, &otherwise))
		bp_fail("the argument `%s` is %s: neither true nor false", name, text);
	return otherwise;
}

#endif
