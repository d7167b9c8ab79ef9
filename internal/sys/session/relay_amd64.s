#include "textflag.h"

DATA pidfd<>+0(SB)/8, $-1
GLOBL pidfd<>(SB), NOPTR, $8

// func aim(pidfd int) (handler, back uintptr)
TEXT ·aim(SB), NOSPLIT, $0-24
	MOVQ	pidfd+0(FP), AX
	MOVQ	AX, pidfd<>(SB)
	LEAQ	pass<>(SB), AX
	MOVQ	AX, handler+8(FP)
	LEAQ	back<>(SB), AX
	MOVQ	AX, back+16(FP)
	RET

// pidfd_send_signal(pidfd, the signal, NULL, 0)
TEXT pass<>(SB), NOSPLIT|NOFRAME, $0
	MOVL	DI, SI
	MOVQ	pidfd<>(SB), DI
	MOVQ	$0, DX
	MOVQ	$0, R10
	MOVQ	$424, AX
	SYSCALL
	RET

// rt_sigreturn()
TEXT back<>(SB), NOSPLIT|NOFRAME, $0
	MOVQ	$15, AX
	SYSCALL
	INT	$3
