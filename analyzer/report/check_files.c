/*
 * check_files.c - a check for machines: JUnit XML and SARIF 2.1.0.
 *
 * JUnit: one test case a rule; skipped where it could not be judged.  SARIF:
 * one result a finding, with the stack as a code flow's plain sibling,
 * `stacks`.  The fingerprint is the site's id: services recognise a result
 * by it after lines moved.  Called by check.c.
 */
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/check.h"
#include "report/json.h"
#include "report/render.h"
#include "report/text.h"

/* ---- JUnit ---- */

/* XML 1.0 knows no control characters, not even as references. */
static void xml_text(FILE *out, const char *s)
{
	char *clean = text_clean(s);
	for (const char *p = clean; *p; p++) {
		switch (*p) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*p, out);
		}
	}
	free(clean);
}

static void junit_stack(FILE *out, const struct capture_stack *s)
{
	size_t n = render_telling_frames(s);
	for (size_t i = 0; i < n; i++) {
		char *name = render_frame_name(&s->frames[i], 200), *place = render_frame_place(&s->frames[i], 200);
		fputs("    ", out);
		xml_text(out, name);
		fputs("  ", out);
		xml_text(out, place);
		fputc('\n', out);
		free(name);
		free(place);
	}
}

static void junit_failure(FILE *out, const struct check_rule *r, const char *text)
{
	fputs("\n    <failure type=\"memory\" message=\"", out);
	xml_text(out, text);
	fputs("\">", out);
	for (size_t i = 0; i < r->n_findings; i++) {
		char *finding = check_finding_text(r, &r->finding[i]);
		fputs("\n", out);
		xml_text(out, finding);
		fprintf(out, ", site %s\n", r->finding[i].site->id);
		junit_stack(out, r->finding[i].site->stack);
		free(finding);
	}
	fputs("</failure>\n  ", out);
}

void check_write_junit(struct check *c, FILE *out)
{
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<testsuites>\n<testsuite name=\"mmscope check\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" "
		"skipped=\"%zu\" time=\"%.3f\">\n",
		c->n_rules, c->n_failed, c->n_unknown, (double)c->now.a.duration_ns / 1e9);
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct check_rule *r = &c->rule[i];
		char *text = check_rule_text(c, r);
		fputs("  <testcase classname=\"", out);
		xml_text(out, r->file ? "budget" : "baseline");
		fputs("\" name=\"", out);
		xml_text(out, r->name);
		fputs("\" time=\"0\">", out);
		if (r->state == CHECK_FAILED) {
			junit_failure(out, r, text);
		} else if (r->state == CHECK_UNKNOWN) {
			fputs("<skipped message=\"", out);
			xml_text(out, text);
			fputs("\"/>", out);
		}
		fputs("</testcase>\n", out);
		free(text);
	}
	fputs("</testsuite>\n</testsuites>\n", out);
}

/* ---- SARIF ---- */

/* A path as a URI reference: relative ones stay so. */
static char *uri_of(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	char *uri = xmalloc(3 * strlen(path) + 16), *to = uri;
	if (*path == '/')
		to = stpcpy(to, "file://");
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	for (; *path; path++) {
		if (strchr(plain, *path))
			*to++ = *path;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*path);
	}
	*to = 0;
	return uri;
}

static void message_json(struct json *j, const char *key, const char *text)
{
	json_object(j, key);
	json_string(j, "text", text);
	json_end(j);
}

static void physical_json(struct json *j, const char *path, int64_t line)
{
	char *uri = uri_of(path);
	json_object(j, "physicalLocation");
	json_object(j, "artifactLocation");
	json_string(j, "uri", uri);
	if (*path != '/')
		json_string(j, "uriBaseId", "%SRCROOT%");
	json_end(j);
	if (line > 0) {
		json_object(j, "region");
		json_i64(j, "startLine", line);
		json_end(j);
	}
	json_end(j);
	free(uri);
}

static void locations_json(struct json *j, const struct side_site *site)
{
	char *path;
	const struct capture_frame *place = check_place(site, &path);
	json_array(j, "locations");
	json_object(j, NULL);
	if (place)
		physical_json(j, path, place->line);
	json_array(j, "logicalLocations");
	json_object(j, NULL);
	char *name = site->stack->n ? render_frame_name(place ? place : &site->stack->frames[0], 400)
				    : xstrdup("(stack not captured)");
	json_string(j, "fullyQualifiedName", name);
	json_string(j, "kind", "function");
	json_end(j);
	json_end(j);
	json_end(j);
	json_end(j);
	free(name);
	free(path);
}

static void stacks_json(struct json *j, const struct capture_stack *s)
{
	size_t n = render_telling_frames(s);
	json_array(j, "stacks");
	json_object(j, NULL);
	message_json(j, "message", "where the memory was allocated");
	json_array(j, "frames");
	for (size_t i = 0; i < n; i++) {
		const struct capture_frame *f = &s->frames[i];
		char *name = render_frame_name(f, 400);
		json_object(j, NULL);
		if (f->module)
			json_string(j, "module", f->module);
		json_object(j, "location");
		message_json(j, "message", name);
		if (f->file)
			physical_json(j, f->file, f->line);
		json_end(j);
		json_end(j);
		free(name);
	}
	json_end(j);
	json_end(j);
	json_end(j);
}

static void result_json(struct json *j, const struct check *c, size_t rule, const struct check_finding *f)
{
	const struct check_rule *r = &c->rule[rule];
	char *text = check_rule_text(c, r);
	json_object(j, NULL);
	json_string(j, "ruleId", r->name);
	json_u64(j, "ruleIndex", rule);
	json_string(j, "level", r->state == CHECK_FAILED ? "error" : "note");
	if (f) {
		char *finding = check_finding_text(r, f);
		char *both = xasprintf("%s. %s.", finding, text);
		message_json(j, "message", both);
		locations_json(j, f->site);
		stacks_json(j, f->site->stack);
		json_object(j, "partialFingerprints");
		json_string(j, "mmscopeSite/v1", f->site->id);
		json_end(j);
		free(both);
		free(finding);
	} else {
		message_json(j, "message", text);
	}
	json_end(j);
	free(text);
}

static void driver_json(struct json *j, const struct check *c)
{
	json_object(j, "tool");
	json_object(j, "driver");
	json_string(j, "name", "mmscope");
	json_string(j, "version", MMS_VERSION);
	json_array(j, "rules");
	for (size_t i = 0; i < c->n_rules; i++) {
		json_object(j, NULL);
		json_string(j, "id", c->rule[i].name);
		message_json(j, "shortDescription", c->rule[i].name);
		json_end(j);
	}
	json_end(j);
	json_end(j);
	json_end(j);
}

void check_write_sarif(struct check *c, FILE *out)
{
	struct json j;
	json_begin(&j, out);
	json_string(&j, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
	json_string(&j, "version", "2.1.0");
	json_array(&j, "runs");
	json_object(&j, NULL);
	driver_json(&j, c);
	json_string(&j, "columnKind", "utf16CodeUnits");
	json_array(&j, "results");
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct check_rule *r = &c->rule[i];
		if (r->state == CHECK_OK)
			continue;
		if (r->n_findings == 0)
			result_json(&j, c, i, NULL);
		for (size_t k = 0; k < r->n_findings; k++)
			result_json(&j, c, i, &r->finding[k]);
	}
	json_end(&j);
	json_end(&j);
	json_end(&j);
	json_finish(&j);
}
