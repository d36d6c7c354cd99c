// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Does the steps of a scenario, in the director of a check, and compares what each gives. */
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "do.h"
#include "need.h"
#include "remote.h"

static struct timespec began;
static char seen_text[20000]; /* what a look saw instead */

/* A step that runs in a thread of its own: it blocks, or others run with it. */
struct call {
	struct run *run;
	struct step *step;
	pthread_t thread;
	long result;
};

static struct call waiting[16]; /* steps that block; .step is NULL if the place is free */

/* ---- results ---- */

long seen_instead(struct run *r, const char *fmt, ...)
{
	va_list ap;

	(void)r;
	va_start(ap, fmt);
	vsnprintf(seen_text, sizeof(seen_text), fmt, ap);
	va_end(ap);
	return -ENOMSG;
}

static bool meets(const struct expect *e, long got)
{
	switch (e->what) {
	case E_OK:
		return got >= 0;
	case E_ERRNO:
		return got == -e->value;
	case E_VALUE:
		return got == e->value;
	case E_FAILS:
		return got < 0;
	default:
		return false;
	}
}

static const char *got_text(long got, const struct verb *v, char *buf, size_t len)
{
	long i;

	if (got < 0)
		return errno_name((int)-got);
	for (i = 0; v->values && v->values[i]; i++)
		if (i == got)
			return v->values[i];
	snprintf(buf, len, got ? "ok (%ld)" : "ok", got);
	return buf;
}

static void trace(const struct run *r, const struct step *s, long got)
{
	struct timespec now;
	char buf[32];
	double t;

	if (!r->trace)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	t = (double)(now.tv_sec - began.tv_sec) +
	    (double)(now.tv_nsec - began.tv_nsec) / 1e9;
	printf("# %9.6f  %3d  %s  [%s]\n", t, s->line, s->text,
	       got == -ENOMSG ? seen_text : got_text(got, s->verb, buf, sizeof(buf)));
	fflush(stdout);
}

static bool judge(struct run *r, const struct step *s, const struct expect *e, long got)
{
	char want[32], seen[32];

	trace(r, s, got);
	if (meets(e, got))
		return true;
	if (s->verb->flags & VERB_LOOK)
		fail_at(r->litmus->path, s->line, "%s: seen instead: %s", s->text,
			seen_text);
	else
		fail_at(r->litmus->path, s->line, "%s: expected %s, seen %s", s->text,
			expect_text(e, s->verb, want, sizeof(want)),
			got_text(got, s->verb, seen, sizeof(seen)));
	return false;
}

/* ---- one step ---- */

static long do_now(struct run *r, struct step *s)
{
	return s->verb->run(r, s->actor ? s->actor->actor : NULL, s->arg, s->result);
}

static long do_eventually(struct run *r, struct step *s)
{
	struct deadline by = deadline_in((int)s->eventually_ms);
	long got;

	do
		got = do_now(r, s);
	while (!meets(&s->expect[r->fs], got) && deadline_wait(&by));
	return got;
}

static void *call_thread(void *arg)
{
	struct call *c = arg;

	c->result = do_now(c->run, c->step);
	return NULL;
}

static void start_call(struct call *c, struct run *r, struct step *s, void *(*fn)(void *))
{
	c->run = r;
	c->step = s;
	if (pthread_create(&c->thread, NULL, fn, c))
		broken("no thread for a step");
}

/* Starts the step and looks at the task: it has to be seen asleep in the kernel. */
static bool start_blocking(struct run *r, struct step *s)
{
	struct call *c = waiting;
	struct deadline by = deadline_in(step_deadline_ms);
	char seen[32];

	while (c->step)
		c++;
	start_call(c, r, s, call_thread);
	while (!s->actor->actor->busy && pthread_tryjoin_np(c->thread, NULL) &&
	       deadline_wait(&by))
		;
	if (actor_blocks(s->actor->actor)) {
		trace(r, s, 0);
		return true;
	}
	pthread_join(c->thread, NULL);
	fail_at(r->litmus->path, s->line,
		"%s: seen instead: it does not wait, and gives %s", s->text,
		got_text(c->result, s->verb, seen, sizeof(seen)));
	return false;
}

static long do_returns(struct run *r, struct actor *a, struct arg *arg,
		       struct name *result)
{
	struct call *c = waiting;

	(void)r;
	(void)arg;
	(void)result;
	while (!c->step || c->step->actor->actor != a)
		c++;
	pthread_join(c->thread, NULL);
	c->step = NULL;
	return c->result;
}

const struct verb verb_returns = {
	"returns", "", K_NONE, do_returns, "returns from the step that waited", 0, NULL
};

static bool run_step(struct run *r, struct step *s)
{
	if (s->expect[r->fs].what == E_BLOCKS)
		return start_blocking(r, s);
	return judge(r, s, &s->expect[r->fs],
		     s->eventually_ms ? do_eventually(r, s) : do_now(r, s));
}

/* ---- steps together ---- */

static pthread_barrier_t barrier;

static void meet(void)
{
	pthread_barrier_wait(&barrier);
}

static void *gated_thread(void *arg)
{
	actor_gate = meet;
	return call_thread(arg);
}

static bool row_meets(const struct outcome_row *row, const struct call *c, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!meets(&row->expect[i], c[i].result))
			return false;
	return true;
}

static bool judge_together(struct run *r, const struct call *c, unsigned int n)
{
	const struct outcome_row *row;
	char text[400] = "", buf[32];
	size_t used = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		trace(r, c[i].step, c[i].result);
		used += (size_t)snprintf(text + used, sizeof(text) - used, " %s",
					 got_text(c[i].result, c[i].step->verb, buf,
						  sizeof(buf)));
	}
	for (row = r->litmus->rows; row; row = row->next)
		if (row->group == c->step->group && row_meets(row, c, n))
			return true;
	fail_at(r->litmus->path, c->step->line, "together: no permitted outcome:%s",
		text);
	return false;
}

/* Each step is sent when all are ready; returns the last step of the group. */
static struct step *run_together(struct run *r, struct step *s, bool *good)
{
	struct call call[TOGETHER_MAX] = { 0 };
	struct step *last = s;
	unsigned int n = 1, i;

	while (last->next && last->next->group == s->group) {
		last = last->next;
		n++;
	}
	pthread_barrier_init(&barrier, NULL, n);
	for (i = 0; i < n; i++, s = s->next)
		start_call(&call[i], r, s, gated_thread);
	for (i = 0; i < n; i++)
		pthread_join(call[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	*good = judge_together(r, call, n);
	return last;
}

/* ---- the scenario ---- */

static const char *full_path(const char *text)
{
	const char *path = text;

	if (*text == '$') {
		path = getenv(text + 1);
		if (!path || !*path)
			skip("no %s in the environment", text + 1);
	}
	return strdup(*path == '/' ? path : in_dir(path));
}

static void make_content(const struct content_file *f)
{
	if (f->directory && mkdir(f->name->path, 0755))
		broken("%s: cannot make the directory", f->name->path);
	else if (!f->directory)
		make_file_with(f->name->path, f->size, f->seed);
}

static void set_up(struct run *r)
{
	const struct content_file *f;
	struct name *n;

	for (n = r->litmus->names; n; n = n->next) {
		n->fd = -1;
		if (n->kind == K_FILE)
			n->path = full_path(n->text);
	}
	for (f = r->litmus->files; f && !r->restarted; f = f->next)
		make_content(f);
	for (n = r->litmus->names; n; n = n->next)
		if (n->kind == K_ACTOR && !n->owner)
			n->actor = n->remote ? actor_start_remote(n->text,
								  getenv("PINVERBS_PEER"))
					     : actor_start(n->text);
}

static struct step *first_step(const struct run *r)
{
	struct step *s = r->litmus->steps;

	while (r->restarted && !(s->verb->flags & VERB_RESTART))
		s = s->next;
	return r->restarted ? s->next : s;
}

void litmus_run(struct run *r)
{
	struct name *n;
	struct step *s;
	bool good = true;
	int i;

	for (i = 0; r->litmus->needs[i]; i++)
		need(r->litmus->needs[i]);
	for (n = r->litmus->names; n; n = n->next)
		if (n->remote)
			need("second-guest");
	clock_gettime(CLOCK_MONOTONIC, &began);
	set_up(r);
	for (s = first_step(r); s && good; s = s->next) {
		if (s->group)
			s = run_together(r, s, &good);
		else
			good = run_step(r, s);
	}
	power_restore(r->litmus);
}
