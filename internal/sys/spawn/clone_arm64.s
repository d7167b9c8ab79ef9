#include "textflag.h"

// func cloneOnto(args *cloneArgs, size uintptr, p *Program, report uintptr) (pid, errno uintptr)
TEXT ·cloneOnto(SB), NOSPLIT, $0-48
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD p+16(FP), R19
	MOVD report+24(FP), R20
	MOVD $435, R8 // clone3
	SVC
	CBZ  R0, child
	CMN  $4095, R0
	BCC  parent
	NEG  R0, R0
	MOVD ZR, pid+32(FP)
	MOVD R0, errno+40(FP)
	RET

parent:
	MOVD R0, pid+32(FP)
	MOVD ZR, errno+40(FP)
	RET

child: // on a stack of its own, with nothing on it
	SUB  $32, RSP
	MOVD R19, 8(RSP)
	MOVD R20, 16(RSP)
	CALL ·runChild(SB)
	BRK  // it does not return
