#include "textflag.h"

// noop is entered by the kernel with the signal frame's return address, the
// restorer, on top of the stack.
TEXT ·noop(SB),NOSPLIT|NOFRAME,$0-0
	RET

// back is rt_sigreturn(2), which x86 wants from user space.
TEXT ·back(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ $15, AX
	SYSCALL
	INT  $3

// func nothing() uintptr
TEXT ·nothing(SB),NOSPLIT,$0-8
	LEAQ ·noop(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func restorer() uintptr
TEXT ·restorer(SB),NOSPLIT,$0-8
	LEAQ ·back(SB), AX
	MOVQ AX, ret+0(FP)
	RET
