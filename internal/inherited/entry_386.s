#include "textflag.h"

// See Environ.
TEXT _openrc_netns_entry(SB),NOSPLIT|NOFRAME,$0
	MOVL	0(SP), AX // argc
	LEAL	8(SP)(AX*4), AX // envp, behind argv and its NULL
	MOVL	0(AX), CX
	TESTL	CX, CX
	JEQ	done
	MOVL	CX, ·first(SB)
	LEAL	·oneProcessor(SB), CX
	MOVL	CX, 0(AX)
	ADDL	$4, AX
next:
	MOVL	0(AX), CX
	TESTL	CX, CX
	JEQ	done
	CMPB	0(CX), $'G'
	JNE	skip
	CMPB	1(CX), $'O'
	JNE	skip
	INCL	0(AX)
skip:
	ADDL	$4, AX
	JMP	next
done:
	JMP	_rt0_386_linux(SB)
