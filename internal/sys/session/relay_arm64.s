#include "textflag.h"

DATA pidfd<>+0(SB)/8, $-1
GLOBL pidfd<>(SB), NOPTR, $8

// func aim(pidfd int) (handler, back uintptr)
TEXT ·aim(SB), NOSPLIT, $0-24
	MOVD	pidfd+0(FP), R0
	MOVD	R0, pidfd<>(SB)
	MOVD	$pass<>(SB), R0
	MOVD	R0, handler+8(FP)
	MOVD	$back<>(SB), R0
	MOVD	R0, back+16(FP)
	RET

// pidfd_send_signal(pidfd, the signal, NULL, 0)
TEXT pass<>(SB), NOSPLIT|NOFRAME, $0
	MOVW	R0, R1
	MOVD	pidfd<>(SB), R0
	MOVD	ZR, R2
	MOVD	ZR, R3
	MOVD	$424, R8
	SVC
	RET

// rt_sigreturn()
TEXT back<>(SB), NOSPLIT|NOFRAME, $0
	MOVD	$139, R8
	SVC
	BRK
