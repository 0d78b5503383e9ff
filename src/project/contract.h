/*
 * contract.h
 *		What became of a model's contract since another manifest.
 */
#ifndef DPIPE_PROJECT_CONTRACT_H
#define DPIPE_PROJECT_CONTRACT_H

#include "base/doc.h"

/*
 * Is the contract the same? Warns of a change that breaks readers, and raises
 * when the model has versions.
 */
extern bool dpipe_same_contract(const PdDoc *old, const PdDoc *new);

/* Likewise for a model that is gone or disabled. */
extern void dpipe_contract_removed(const PdDoc *model);

#endif							/* DPIPE_PROJECT_CONTRACT_H */
