/*
 * stack_table.h - the session's table of stacks: find and insert.
 */
#ifndef CAPTURE_STACK_TABLE_H
#define CAPTURE_STACK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/record.h>
#include <mmscope/session.h>
#include <mmscope/stacks.h>

/* A node as it is looked for: `key` is its w0, `hash` its full cumulative hash. */
struct stack_key {
	uint64_t key, hash;
};

/* The id of the node with this key, hash and parent; it is made when there is
 * none.  0: the table has no room. */
uint32_t stack_table_insert(const struct mms_session *s, struct stack_key node, uint32_t parent);

/* The id of the node, or 0.  `parent` is what its parent must be: key and
 * hash together leave no doubt (over 90 bits are compared). */
uint32_t stack_table_find(const struct mms_session *s, struct stack_key node, struct stack_key parent);

/* id, when the node with this key and hash has it; else 0.  id may be 0. */
uint32_t stack_table_is(const struct mms_session *s, uint32_t id, struct stack_key node);

/* Id of the root of a module context, made when it is new; 0: no room. */
uint32_t stack_table_root(const struct mms_session *s, uint32_t context);
struct stack_key stack_root_key(uint32_t context);

/* There was no room: tells the collector and, under policy block, waits for
 * it, a second at most.  True: there is more room now, try again. */
bool stack_table_wait(const struct mms_session *s);

#endif
