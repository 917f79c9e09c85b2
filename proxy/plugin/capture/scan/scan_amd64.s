#include "textflag.h"

// The kinds of a byte below 0x80 are those that the table for its low half and the one for its high half share. See Kinds.
DATA lows<>+0(SB)/8, $0x2020202020282031
DATA lows<>+8(SB)/8, $0x0000120400882020
GLOBL lows<>(SB), RODATA|NOPTR, $16

DATA highs<>+0(SB)/8, $0x00000408a6100001
DATA highs<>+8(SB)/8, $0
GLOBL highs<>(SB), RODATA|NOPTR, $16

DATA half<>+0(SB)/1, $0x0f
GLOBL half<>(SB), RODATA|NOPTR, $1

// func avx2(blocks *Block, text *byte, n int) uint16
TEXT ·avx2(SB), NOSPLIT, $0-26
	MOVQ blocks+0(FP), DI
	MOVQ text+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTI128 lows<>(SB), Y0
	VBROADCASTI128 highs<>(SB), Y1
	VPBROADCASTB   half<>(SB), Y2
	VPXOR Y3, Y3, Y3 // all kinds so far
	VPXOR Y4, Y4, Y4 // all bytes so far, joined

block:
	VMOVDQU (SI), Y5
	VMOVDQU 32(SI), Y6

	VPOR    Y5, Y4, Y4
	VPSRLW  $4, Y5, Y7
	VPAND   Y2, Y7, Y7
	VPSHUFB Y5, Y0, Y5 // nothing for what is not below 0x80
	VPSHUFB Y7, Y1, Y7
	VPAND   Y5, Y7, Y5
	VPOR    Y5, Y3, Y3

	VPOR    Y6, Y4, Y4
	VPSRLW  $4, Y6, Y7
	VPAND   Y2, Y7, Y7
	VPSHUFB Y6, Y0, Y6
	VPSHUFB Y7, Y1, Y7
	VPAND   Y6, Y7, Y6
	VPOR    Y6, Y3, Y3

	// Colons have the top bit alone.
	VPMOVMSKB Y5, AX
	VPMOVMSKB Y6, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, (DI)

	// Signs have bit 3 alone.
	VPSLLW    $4, Y5, Y7
	VPSLLW    $4, Y6, Y8
	VPMOVMSKB Y7, AX
	VPMOVMSKB Y8, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, 16(DI)

	// Digits, spaces and hyphens are above 0x0f, where colons are negative.
	VPCMPGTB  Y2, Y5, Y5
	VPCMPGTB  Y2, Y6, Y6
	VPMOVMSKB Y5, AX
	VPMOVMSKB Y6, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, 8(DI)

	ADDQ $64, SI
	ADDQ $24, DI
	DECQ CX
	JNZ  block

	VPMOVMSKB    Y4, BX
	VEXTRACTI128 $1, Y3, X4
	VPOR         X4, X3, X3
	VPSRLDQ      $8, X3, X4
	VPOR         X4, X3, X3
	VMOVQ        X3, AX
	VZEROUPPER

	// The kinds in eight bytes become those in one.
	MOVQ AX, CX
	SHRQ $32, CX
	ORQ  CX, AX
	MOVQ AX, CX
	SHRQ $16, CX
	ORQ  CX, AX
	MOVQ AX, CX
	SHRQ $8, CX
	ORQ  CX, AX
	MOVBLZX AX, AX
	TESTL BX, BX
	JZ    done
	ORL   $0x100, AX

done:
	MOVW AX, ret+24(FP)
	RET
