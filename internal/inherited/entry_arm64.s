#include "textflag.h"

// See Environ.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	MOVD	0(RSP), R0 // argc
	ADD	$16, RSP, R1
	ADD	R0<<3, R1, R1 // envp, behind argv and its NULL
	MOVD	0(R1), R2
	CBZ	R2, done
	MOVD	R2, ·first(SB)
	MOVD	$·oneProcessor(SB), R2
	MOVD	R2, 0(R1)
	ADD	$8, R1
next:
	MOVD	0(R1), R2
	CBZ	R2, done
	MOVBU	0(R2), R3
	CMP	$'G', R3
	BNE	skip
	MOVBU	1(R2), R3
	CMP	$'O', R3
	BNE	skip
	ADD	$1, R2
	MOVD	R2, 0(R1)
skip:
	ADD	$8, R1
	B	next
done:
	B	_rt0_arm64_linux(SB)
