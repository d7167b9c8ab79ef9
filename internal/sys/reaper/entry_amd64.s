#include "textflag.h"

// func Entry()
TEXT ·Entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVQ SP, R12
	SUBQ $4128, SP // the arguments of begin, PATH_MAX, Go's thread-local storage
	MOVQ $158, AX  // arch_prctl
	MOVQ $0x1002, DI // ARCH_SET_FS
	LEAQ 4120(SP), SI
	MOVQ $0, -8(SI) // g: there is none
	SYSCALL
	LEAQ 16(SP), AX
	MOVQ R12, 0(SP)
	MOVQ AX, 8(SP)
	CALL ·begin(SB)
	INT  $3 // it does not return
