#include "textflag.h"

// func cloneOnto(args *cloneArgs, size uintptr, p *Program, report uintptr) (pid, errno uintptr)
TEXT ·cloneOnto(SB), NOSPLIT, $0-48
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ p+16(FP), R12
	MOVQ report+24(FP), R13
	MOVL $435, AX // clone3
	SYSCALL
	TESTQ AX, AX
	JZ   child
	CMPQ AX, $0xfffffffffffff001
	JLS  parent
	NEGQ AX
	MOVQ $0, pid+32(FP)
	MOVQ AX, errno+40(FP)
	RET

parent:
	MOVQ AX, pid+32(FP)
	MOVQ $0, errno+40(FP)
	RET

child: // on a stack of its own, with nothing on it
	SUBQ $16, SP
	MOVQ R12, 0(SP)
	MOVQ R13, 8(SP)
	CALL ·runChild(SB)
	INT  $3 // it does not return
