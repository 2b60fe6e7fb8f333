#include "textflag.h"

// See Environ. The entry point is a function descriptor here, as the runtime's is.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	DWORD	$entry<>(SB)
	DWORD	$0
	DWORD	$0

TEXT entry<>(SB),NOSPLIT|NOFRAME,$0
	MOVD	0(R1), R7 // argc
	SLD	$3, R7
	ADD	R1, R7
	ADD	$16, R7 // envp, behind argv and its NULL
	MOVD	0(R7), R8
	CMP	R8, $0
	BEQ	done
	MOVD	R8, ·first(SB)
	MOVD	$·oneProcessor(SB), R8
	MOVD	R8, 0(R7)
	ADD	$8, R7
next:
	MOVD	0(R7), R8
	CMP	R8, $0
	BEQ	done
	MOVBZ	0(R8), R9
	CMP	R9, $'G'
	BNE	skip
	MOVBZ	1(R8), R9
	CMP	R9, $'O'
	BNE	skip
	ADD	$1, R8
	MOVD	R8, 0(R7)
skip:
	ADD	$8, R7
	BR	next
done:
	MOVD	$_rt0_ppc64_linux(SB), R7
	MOVD	0(R7), R12
	MOVD	R12, CTR
	BR	(CTR)
