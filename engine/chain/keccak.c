#include "chain/keccak.h"

#include <string.h>

#define RATE 136   /* bytes a block: 200 of the state less twice the 32 of the digest */
#define ROUNDS 24
#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))

/* The round constants of Bertoni, Daemen, Peeters and Van Assche, "The Keccak reference", 2011, section 1.2. */
static const uint64_t round_constants[ROUNDS] = {
	0x0000000000000001u, 0x0000000000008082u, 0x800000000000808au, 0x8000000080008000u, 0x000000000000808bu,
	0x0000000080000001u, 0x8000000080008081u, 0x8000000000008009u, 0x000000000000008au, 0x0000000000000088u,
	0x0000000080008009u, 0x000000008000000au, 0x000000008000808bu, 0x800000000000008bu, 0x8000000000008089u,
	0x8000000000008003u, 0x8000000000008002u, 0x8000000000000080u, 0x000000000000800au, 0x800000008000000au,
	0x8000000080008081u, 0x8000000000008080u, 0x0000000080000001u, 0x8000000080008008u,
};

/* Row y of the state after theta, rho and pi: lane (x, y) comes from a[f_x] turned by r_x. */
#define ROW(y, f0, f1, f2, f3, f4, r0, r1, r2, r3, r4) do {                                                     \
	uint64_t b0 = a[f0] ^ d[(f0) % 5], b1 = a[f1] ^ d[(f1) % 5], b2 = a[f2] ^ d[(f2) % 5],                      \
	         b3 = a[f3] ^ d[(f3) % 5], b4 = a[f4] ^ d[(f4) % 5];                                                \
	b0 = (r0) > 0 ? ROTL(b0, (r0) & 63) : b0;                                                                   \
	b1 = ROTL(b1, r1);                                                                                          \
	b2 = ROTL(b2, r2);                                                                                          \
	b3 = ROTL(b3, r3);                                                                                          \
	b4 = ROTL(b4, r4);                                                                                          \
	e[5 * (y)] = b0 ^ (~b1 & b2);                                                                               \
	e[5 * (y) + 1] = b1 ^ (~b2 & b3);                                                                           \
	e[5 * (y) + 2] = b2 ^ (~b3 & b4);                                                                           \
	e[5 * (y) + 3] = b3 ^ (~b4 & b0);                                                                           \
	e[5 * (y) + 4] = b4 ^ (~b0 & b1);                                                                           \
} while (0)

static void round_of(uint64_t *restrict e, const uint64_t *restrict a, uint64_t constant)
{
	uint64_t c[5], d[5];

	for (int x = 0; x < 5; x++)
		c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
	for (int x = 0; x < 5; x++)
		d[x] = c[(x + 4) % 5] ^ ROTL(c[(x + 1) % 5], 1);
	ROW(0, 0, 6, 12, 18, 24, 0, 44, 43, 21, 14);
	ROW(1, 3, 9, 10, 16, 22, 28, 20, 3, 45, 61);
	ROW(2, 1, 7, 13, 19, 20, 1, 6, 25, 8, 18);
	ROW(3, 4, 5, 11, 17, 23, 27, 36, 10, 15, 56);
	ROW(4, 2, 8, 14, 15, 21, 62, 55, 39, 41, 2);
	e[0] ^= constant;
}

static void permute(uint64_t a[25])
{
	uint64_t e[25];

	for (int i = 0; i < ROUNDS; i += 2) {
		round_of(e, a, round_constants[i]);
		round_of(a, e, round_constants[i + 1]);
	}
}

/* Lanes are little-endian, as is every machine that this runs on. */
static void absorb(uint64_t a[25], const uint8_t block[RATE])
{
	for (int i = 0; i < RATE / 8; i++) {
		uint64_t lane;

		memcpy(&lane, block + 8 * i, 8);
		a[i] ^= lane;
	}
	permute(a);
}

void cw_keccak256(const void *bytes, size_t len, uint8_t out[32])
{
	const uint8_t *p = bytes;
	uint64_t a[25] = { 0 };
	uint8_t last[RATE] = { 0 };

	for (; len >= RATE; p += RATE, len -= RATE)
		absorb(a, p);
	if (len > 0)
		memcpy(last, p, len);
	last[len] ^= 0x01;
	last[RATE - 1] ^= 0x80;
	absorb(a, last);
	memcpy(out, a, 32);
}
