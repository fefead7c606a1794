/* SPDX-License-Identifier: MIT */
/* Parses JSON in place, numbers, and times. bpfpack.h includes it. */
#ifndef BPFPACK_JSON_H
#define BPFPACK_JSON_H

#include "bpfpack_base.h"

/* Units of time, in nanoseconds. */
#define BP_US 1000ULL
#define BP_MS 1000000ULL
#define BP_S 1000000000ULL

/* Parses a switch: "", true, yes, on and 1; false, no, off and 0. Returns whether it is one. */
BP_OWN bool bp_find_bool(const char *text, bool *is_on)
{
	static const char known[][8] = {"", "true", "yes", "on", "1", "false", "no", "off", "0"};

	for (uint32_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		*is_on = i < 5;
		if (bp_equal((struct bp_text){text, strlen(text)}, known[i]))
			return true;
	}
	return false;
}

/* Parses a decimal number; with `units`, a time with up to six decimal places and ns, us, ms, s, m or
 * h after it, in nanoseconds. Returns whether it is one. */
BP_OWN bool bp_find_number(const char *text, bool units, uint64_t *number)
{
	static const struct {
		char name[4];
		uint64_t factor;
	} known[] = {{"", 1}, {"ns", 1}, {"us", BP_US}, {"ms", BP_MS}, {"s", BP_S},
		     {"m", 60 * BP_S}, {"h", 3600 * BP_S}};
	uint64_t whole = 0, part = 0, scale = 1;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++)
		if (whole > UINT64_MAX / 10 - 1)
			return false;
		else
			whole = whole * 10 + *at - '0';
	if (at == text)
		return false;
	if (units && *at == '.')
		for (at++; *at >= '0' && *at <= '9' && scale < 1000000; at++, scale *= 10)
			part = part * 10 + *at - '0';
	for (uint32_t i = 0; i < (units ? sizeof(known) / sizeof(*known) : 1); i++)
		if (bp_equal((struct bp_text){at, strlen(at)}, known[i].name)) {
			*number = whole * known[i].factor + part * known[i].factor / scale;
			return whole < UINT64_MAX / known[i].factor;
		}
	return false;
}

/* A value in a JSON text; `at` is null if it does not exist. */
struct bp_json {
	const char *at, *end;
};

BP_OWN const char *bp_json_blank(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
		at++;
	return at;
}

/* The end of the string that starts here. */
BP_OWN const char *bp_json_skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		at += *at == '\\';
	return at < end ? at + 1 : end;
}

/* The end of the value that starts here. */
BP_OWN const char *bp_json_skip(const char *at, const char *end)
{
	uint32_t depth = 0;

	while (at < end) {
		if (*at == '"') {
			at = bp_json_skip_string(at, end);
		} else if (*at == '{' || *at == '[') {
			depth++;
			at++;
			continue;
		} else if (*at == '}' || *at == ']') {
			depth -= depth > 0;
			at++;
		} else if (depth) {
			at++;
			continue;
		} else {
			while (at < end && *at != ',' && *at != ':' && *at != '}' && *at != ']' && *at > ' ')
				at++;
		}
		if (!depth)
			return at;
	}
	return end;
}

/* The next item of an object or array. `rest` is the object or array at first, and then the rest of
 * it. `name->at` is null in an array. At the end, the `at` of the result is null. */
BP_OWN struct bp_json bp_json_next(struct bp_json *rest, struct bp_text *name)
{
	const char *at = rest->at ? bp_json_blank(rest->at, rest->end) : NULL, *end;

	if (!at || at >= rest->end || *at == '}' || *at == ']')
		return (struct bp_json){0};
	if (*at == '{' || *at == '[' || *at == ',')
		at = bp_json_blank(at + 1, rest->end);
	if (at >= rest->end || *at == '}' || *at == ']')
		return (struct bp_json){0};
	end = bp_json_skip(at, rest->end);
	*name = (struct bp_text){at + 1, (uint32_t)(end - at) - 2};
	rest->at = bp_json_blank(end, rest->end);
	if (*at != '"' || rest->at >= rest->end || *rest->at != ':') {
		*name = (struct bp_text){0};
		return (struct bp_json){at, end};
	}
	at = bp_json_blank(rest->at + 1, rest->end);
	rest->at = end = bp_json_skip(at, rest->end);
	return (struct bp_json){at, end};
}

/* A member of an object; its `at` is null if it does not exist. */
BP_OWN struct bp_json bp_json_get(struct bp_json object, const char *name)
{
	struct bp_json item;
	struct bp_text known;

	if (object.at && *object.at != '{')
		object.at = NULL;
	while ((item = bp_json_next(&object, &known)).at)
		if (bp_equal(known, name))
			break;
	return item;
}

/* A string as written, with its escapes; empty for other values. */
BP_OWN struct bp_text bp_json_text(struct bp_json value)
{
	if (!value.at || *value.at != '"' || value.end - value.at < 2)
		return (struct bp_text){0};
	return (struct bp_text){value.at + 1, (uint32_t)(value.end - value.at) - 2};
}

/* An integer without a sign; `otherwise` for other values. */
BP_OWN uint64_t bp_json_number(struct bp_json value, uint64_t otherwise)
{
	uint64_t number = 0;
	const char *at = value.at;

	for (; at && at < value.end && *at >= '0' && *at <= '9'; at++)
		number = number * 10 + *at - '0';
	return at && at > value.at ? number : otherwise;
}

#endif
