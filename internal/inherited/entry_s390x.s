#include "textflag.h"

// See Environ.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	MOVD	0(R15), R1 // argc
	SLD	$3, R1
	ADD	R15, R1
	ADD	$16, R1 // envp, behind argv and its NULL
	MOVD	0(R1), R2
	CMPBEQ	R2, $0, done
	MOVD	R2, ·first(SB)
	MOVD	$·oneProcessor(SB), R2
	MOVD	R2, 0(R1)
	ADD	$8, R1
next:
	MOVD	0(R1), R2
	CMPBEQ	R2, $0, done
	MOVBZ	0(R2), R3
	CMPBNE	R3, $'G', skip
	MOVBZ	1(R2), R3
	CMPBNE	R3, $'O', skip
	ADD	$1, R2
	MOVD	R2, 0(R1)
skip:
	ADD	$8, R1
	BR	next
done:
	BR	_rt0_s390x_linux(SB)
