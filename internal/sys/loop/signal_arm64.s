#include "textflag.h"

// noop is entered by the kernel with the vdso's way back in the link register.
TEXT ·noop(SB),NOSPLIT|NOFRAME,$0-0
	RET

// func nothing() uintptr
TEXT ·nothing(SB),NOSPLIT,$0-8
	MOVD $·noop(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func restorer() uintptr
TEXT ·restorer(SB),NOSPLIT,$0-8
	MOVD ZR, ret+0(FP)
	RET
