#include "textflag.h"

// See Environ.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	MOVQ	0(SP), AX // argc
	LEAQ	16(SP)(AX*8), AX // envp, behind argv and its NULL
	MOVQ	0(AX), CX
	TESTQ	CX, CX
	JEQ	done
	MOVQ	CX, ·first(SB)
	LEAQ	·oneProcessor(SB), CX
	MOVQ	CX, 0(AX)
	ADDQ	$8, AX
next:
	MOVQ	0(AX), CX
	TESTQ	CX, CX
	JEQ	done
	CMPB	0(CX), $'G'
	JNE	skip
	CMPB	1(CX), $'O'
	JNE	skip
	INCQ	0(AX)
skip:
	ADDQ	$8, AX
	JMP	next
done:
	JMP	_rt0_amd64_linux(SB)
