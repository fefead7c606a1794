/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Annotations as declaration tags: unlike comments, they are in the object, so that it describes
 * itself when it is packed without its source. */
#ifndef __BPFPACK_ANNOTATE_BPF_H
#define __BPFPACK_ANNOTATE_BPF_H

/* ANNOTATE(sample, {"interval": 1000, "type": "log2_hist"}) behind the name of a map, a global
 * variable or the license, or before a program's function. The value is written as behind `@sample`
 * in a comment; a text without commas or quotes needs no quotes. */
#define ANNOTATE(name, ...) \
	__attribute__((btf_decl_tag("bpfpack." #name " " #__VA_ARGS__)))

#endif
