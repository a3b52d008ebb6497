/*
 * lab_reasons.h - has a client that refuses said why? One reason has many words.
 */
#ifndef SHS_CMD_LAB_REASONS_H
#define SHS_CMD_LAB_REASONS_H

#include "base/base.h"

#define LAB_REASON_TIMEOUT "timeout"

/*
 * Does a client's message speak of that reason (struct shs_condition's, "timeout")? In any of the
 * words that clients have for it, capital letters or not. False for one that this knows no words
 * of.
 */
bool lab_reason_is_said(const char *reason, const char *said);

#endif
