#!/bin/bash
# Every pair of inventory operations in two sessions at every isolation level: see operation_pairs.pl.
exec perl "$(dirname "$0")/operation_pairs.pl"
