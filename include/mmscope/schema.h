/*
 * schema.h - numbers of the database that more than one program must know.
 *
 * The tables stand in analyzer/store/schema.sql.  A database whose
 * application_id differs is not ours; one with a higher user_version was
 * written by a newer mmscope; one with a lower is upgraded step by step
 * (analyzer/store/upgrade.c).
 */
#ifndef MMSCOPE_SCHEMA_H
#define MMSCOPE_SCHEMA_H

#define MMS_APPLICATION_ID 0x4d4d5343 /* "MMSC" */
#define MMS_SCHEMA_VERSION 4

#endif
