// SPDX-License-Identifier: GPL-2.0
//
// Lets the drivers of drivers/infiniband register memory in leased DAX files: verbs that make a
// memory region, which are known by their signatures, pin through ib_umem_get_owned(), and so do
// the helpers that they call for it.  Buffers of queues and doorbells are pinned elsewhere and
// stay with ib_umem_get().
//
//	spatch --sp-file umem-owned.cocci --in-place --no-includes --dir drivers/infiniband
virtual patch

@reg@
identifier fn, pd, start, len, iova, access, udata;
expression dev, a, l, f;
@@
 struct ib_mr *fn(struct ib_pd *pd, u64 start, u64 len, u64 iova, int access,
		  struct ib_udata *udata)
 {
 <...
-ib_umem_get(dev, a, l, f)
+ib_umem_get_owned(dev, udata, a, l, f)
 ...>
 }

@rereg@
identifier fn, mr, flags, start, len, iova, access, pd, udata;
expression dev, a, l, f;
@@
 struct ib_mr *fn(struct ib_mr *mr, int flags, u64 start, u64 len, u64 iova, int access,
		  struct ib_pd *pd, struct ib_udata *udata)
 {
 <...
-ib_umem_get(dev, a, l, f)
+ib_umem_get_owned(dev, udata, a, l, f)
 ...>
 }

// Helpers: functions that pin for a registration; one may pin for a queue as well.
@pins@
identifier helper;
type T;
parameter list ps;
@@
 T helper(ps)
 {
 <+...
 ib_umem_get(...)
 ...+>
 }

@used@
identifier pins.helper;
identifier fn, pd, start, len, iova, access, udata;
@@
 struct ib_mr *fn(struct ib_pd *pd, u64 start, u64 len, u64 iova, int access,
		  struct ib_udata *udata)
 {
 <+...
 helper(...)
 ...+>
 }

@extend depends on used@
identifier pins.helper;
type pins.T;
type D;
identifier dev;
parameter list[n] rest;
expression d, a, l, f;
@@
 T helper(D dev,
+	  struct ib_udata *udata,
	  rest)
 {
 <...
-ib_umem_get(d, a, l, f)
+ib_umem_get_owned(d, udata, a, l, f)
 ...>
 }

@call_reg depends on used@
identifier pins.helper;
identifier fn, pd, start, len, iova, access, udata;
expression d;
expression list[extend.n] args;
@@
 struct ib_mr *fn(struct ib_pd *pd, u64 start, u64 len, u64 iova, int access,
		  struct ib_udata *udata)
 {
 <...
-helper(d, args)
+helper(d, udata, args)
 ...>
 }

@call_rereg depends on used@
identifier pins.helper;
identifier fn, mr, flags, start, len, iova, access, pd, udata;
expression d;
expression list[extend.n] args;
@@
 struct ib_mr *fn(struct ib_mr *mr, int flags, u64 start, u64 len, u64 iova, int access,
		  struct ib_pd *pd, struct ib_udata *udata)
 {
 <...
-helper(d, args)
+helper(d, udata, args)
 ...>
 }

// What is left has one argument less: buffers of queues
@call_other depends on used@
identifier pins.helper;
expression d;
expression list[extend.n] args;
@@
-helper(d, args)
+helper(d, NULL, args)
