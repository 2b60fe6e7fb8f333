#include "textflag.h"

// See Environ.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	MOVV	0(R3), R4 // argc
	SLLV	$3, R4
	ADDV	R3, R4
	ADDV	$16, R4 // envp, behind argv and its NULL
	MOVV	0(R4), R5
	BEQ	R5, R0, done
	MOVV	R5, ·first(SB)
	MOVV	$·oneProcessor(SB), R5
	MOVV	R5, 0(R4)
	ADDV	$8, R4
	MOVV	$'G', R7
	MOVV	$'O', R8
next:
	MOVV	0(R4), R5
	BEQ	R5, R0, done
	MOVBU	0(R5), R6
	BNE	R6, R7, skip
	MOVBU	1(R5), R6
	BNE	R6, R8, skip
	ADDV	$1, R5
	MOVV	R5, 0(R4)
skip:
	ADDV	$8, R4
	JMP	next
done:
	JMP	_rt0_loong64_linux(SB)
