#include "textflag.h"

// func Entry()
TEXT ·Entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD RSP, R19
	SUB  $4096, R19, R20 // PATH_MAX
	SUB  $32, R20, R0    // a return address, the arguments of begin
	MOVD R0, RSP
	MOVD $0, g           // there is none
	MOVD R19, 8(RSP)
	MOVD R20, 16(RSP)
	CALL ·begin(SB)
	BRK  // it does not return
