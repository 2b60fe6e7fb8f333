#include "textflag.h"

// See Environ.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	MOVW	0(R13), R0 // argc
	ADD	$8, R13, R1
	ADD	R0<<2, R1, R1 // envp, behind argv and its NULL
	MOVW	0(R1), R2
	CMP	$0, R2
	BEQ	done
	MOVW	R2, ·first(SB)
	MOVW	$·oneProcessor(SB), R2
	MOVW	R2, 0(R1)
	ADD	$4, R1
next:
	MOVW	0(R1), R2
	CMP	$0, R2
	BEQ	done
	MOVBU	0(R2), R3
	CMP	$'G', R3
	BNE	skip
	MOVBU	1(R2), R3
	CMP	$'O', R3
	BNE	skip
	ADD	$1, R2
	MOVW	R2, 0(R1)
skip:
	ADD	$4, R1
	B	next
done:
	B	_rt0_arm_linux(SB)
