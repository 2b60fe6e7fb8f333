#include "textflag.h"

// See Environ.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	MOV	0(X2), X5 // argc
	SLL	$3, X5
	ADD	X2, X5
	ADD	$16, X5 // envp, behind argv and its NULL
	MOV	0(X5), X6
	BEQ	X6, X0, done
	MOV	X6, ·first(SB)
	MOV	$·oneProcessor(SB), X6
	MOV	X6, 0(X5)
	ADD	$8, X5
	MOV	$'G', X28
	MOV	$'O', X29
next:
	MOV	0(X5), X6
	BEQ	X6, X0, done
	MOVBU	0(X6), X7
	BNE	X7, X28, skip
	MOVBU	1(X6), X7
	BNE	X7, X29, skip
	ADD	$1, X6
	MOV	X6, 0(X5)
skip:
	ADD	$8, X5
	JMP	next
done:
	JMP	_rt0_riscv64_linux(SB)
