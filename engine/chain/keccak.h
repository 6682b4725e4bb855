/* keccak.h - Keccak-256 as Ethereum uses it (rate 136, padding 0x01; SHA3-256 pads with 0x06). Pure. */
#ifndef CW_CHAIN_KECCAK_H
#define CW_CHAIN_KECCAK_H

#include <stddef.h>
#include <stdint.h>

void cw_keccak256(const void *bytes, size_t len, uint8_t out[32]);

#endif
