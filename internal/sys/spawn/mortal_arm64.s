#include "textflag.h"

// func exitHandler() uintptr
TEXT ·exitHandler(SB), NOSPLIT, $0-8
	MOVD	$exitBySignal<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// exit_group(128 + the signal's number)
TEXT exitBySignal<>(SB), NOSPLIT|NOFRAME, $0
	ADD	$128, R0
	MOVD	$94, R8
	SVC
	BRK
