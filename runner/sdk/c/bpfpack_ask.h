/* SPDX-License-Identifier: MIT */
/*
 * bpfpack_ask.h: parameters (--wasm-arg) and arguments of the package, as text and as numbers. Modules
 * include bpfpack.h, which includes this header.
 *
 * A value that is not given is `otherwise`. A value of the wrong form ends the run with a failure.
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

/* The text as a C string; null if it does not exist. */
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

/* The value of --wasm-arg name=VALUE. */
BP_OWN const char *bp_parameter(const char *name, const char *otherwise)
{
	const char *text = bp_asked(bp_host_parameter, name);

	return text ? text : otherwise;
}

/* The value of an argument of the package, by the name of its variable. */
BP_OWN const char *bp_argument(const char *name, const char *otherwise)
{
	const char *text = bp_asked(bp_host_argument, name);

	return text ? text : otherwise;
}

/* A parameter that is a decimal number. */
BP_OWN uint64_t bp_parameter_u64(const char *name, uint64_t otherwise)
{
	const char *text = bp_parameter(name, NULL);

	if (text && !bp_find_number(text, false, &otherwise))
		bp_fail("%s=%s is not a number", name, text);
	return otherwise;
}

/* A parameter that is a time such as 5ms or 1.5s, in nanoseconds. Without a unit: nanoseconds. */
BP_OWN uint64_t bp_parameter_time(const char *name, uint64_t otherwise)
{
	const char *text = bp_parameter(name, NULL);

	if (text && !bp_find_number(text, true, &otherwise))
		bp_fail("%s=%s is not a time such as 5ms or 1.5s", name, text);
	return otherwise;
}

/* A parameter that is a switch: true, yes, on, 1 and nothing (`--wasm-arg name=`) are true. */
BP_OWN bool bp_parameter_bool(const char *name, bool otherwise)
{
	const char *text = bp_parameter(name, NULL);

	if (text && !bp_find_bool(text, &otherwise))
		bp_fail("%s=%s is neither true nor false", name, text);
	return otherwise;
}

/* An argument of the package that is a bool. */
BP_OWN bool bp_argument_bool(const char *name, bool otherwise)
{
	const char *text = bp_argument(name, NULL);

	if (text && !bp_find_bool(text, &otherwise))
		bp_fail("the argument %s=%s is neither true nor false", name, text);
	return otherwise;
}

#endif
