/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Annotations as declaration tags. Unlike comments, they are part of the object, which can then be
 * packed without its source. */
#ifndef __BPFPACK_ANNOTATE_BPF_H
#define __BPFPACK_ANNOTATE_BPF_H

/* ANNOTATE(sample, {"interval": 1000, "type": "log2_hist"}) follows the name of a map, a global
 * variable or the license, or precedes the function of a program. The value has the same form as after
 * `@sample` in a comment; text without commas or quotes needs no quotes. */
#define ANNOTATE(name, ...) \
	__attribute__((btf_decl_tag("bpfpack." #name " " #__VA_ARGS__)))

#endif
