;; SPDX-License-Identifier: MIT
;; Passes on records of opensnoop with a negative `ret`, which is at offset 8.
(module
  (import "bpfpack" "emit" (func $emit (param i32 i32 i32 i32)))
  (memory (export "memory") 256)
  (global $free (mut i32) (i32.const 8))
  (func (export "bpfpack_version") (result i32) (i32.const 1))
  (func (export "bpfpack_alloc") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.and (i32.const -8) (i32.add (i32.const 7) (i32.add (local.get $size) (global.get $free))))))
  (func (export "bpfpack_records") (param $source i32) (param $at i32) (param $len i32) (param $time i64) (result i32)
    (local $end i32) (local.set $end (i32.add (local.get $at) (local.get $len)))
    (loop $next
      (if (i32.lt_s (i32.load offset=16 (local.get $at)) (i32.const 0))
        (then (call $emit (local.get $source) (i32.const 0) (i32.add (local.get $at) (i32.const 8)) (i32.load (local.get $at)))))
      (local.set $at (i32.add (local.get $at) (i32.and (i32.const -8) (i32.add (i32.const 15) (i32.load (local.get $at))))))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (i32.const 0)))
