#include "textflag.h"

DATA self<>+0(SB)/8, $"/proc/se"
DATA self<>+8(SB)/8, $"lf/exe\x00\x00"
GLOBL self<>(SB), RODATA, $16

DATA processors<>+0(SB)/8, $"GOMAXPRO"
DATA processors<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL processors<>(SB), RODATA, $16

DATA none<>+0(SB)/8, $0
GLOBL none<>(SB), RODATA, $8

// struct mount_attr: MOUNT_ATTR_RDONLY is to be set.
DATA readOnly<>+0(SB)/8, $1
GLOBL readOnly<>(SB), RODATA, $32

// What the timer slack was, 0 as long as Entry has not changed it.
GLOBL slack<>(SB), NOPTR, $8

// func Slack() uint64
TEXT ·Slack(SB), NOSPLIT, $0-8
	MOVQ slack<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func Entry()
//
// At 0(SP) is what execve(2) leaves there: the number of arguments, the arguments, 0, the
// environment, 0. R12 keeps where that begins.
TEXT ·Entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVQ SP, R12
	SUBQ $128, SP // struct statfs

	MOVQ $257, AX // openat
	MOVQ $-100, DI
	LEAQ self<>(SB), SI
	MOVQ $0x280000, DX // O_PATH | O_CLOEXEC
	SYSCALL
	TESTQ AX, AX
	JLT  start
	MOVQ AX, R13

	MOVQ $138, AX // fstatfs
	MOVQ R13, DI
	MOVQ SP, SI
	SYSCALL
	TESTQ AX, AX
	JNE  closeFile
	MOVQ 80(SP), AX // f_flags
	TESTQ $1, AX    // ST_RDONLY
	JNE  closeFile

	MOVQ $428, AX // open_tree
	MOVQ R13, DI
	LEAQ none<>(SB), SI
	MOVQ $0x81001, DX // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
	SYSCALL
	TESTQ AX, AX
	JLT  closeFile
	MOVQ AX, R14

	MOVQ $442, AX // mount_setattr
	MOVQ R14, DI
	LEAQ none<>(SB), SI
	MOVQ $0x1000, DX // AT_EMPTY_PATH
	LEAQ readOnly<>(SB), R10
	MOVQ $32, R8
	SYSCALL
	TESTQ AX, AX
	JNE  closeTree

	// The environment and one more variable.
	MOVQ 0(R12), AX
	LEAQ 16(R12)(AX*8), BX // the environment
	MOVQ $0, CX
count:
	MOVQ 0(BX)(CX*8), AX
	ADDQ $1, CX
	TESTQ AX, AX
	JNE  count // CX: with the 0 at its end
	LEAQ 8(CX*8), AX
	ANDQ $~15, AX
	SUBQ AX, SP
	SUBQ $16, SP
	LEAQ processors<>(SB), AX
	MOVQ AX, 0(SP)
copy:
	MOVQ -8(BX)(CX*8), AX
	MOVQ AX, 0(SP)(CX*8)
	SUBQ $1, CX
	JNE  copy

	MOVQ $322, AX // execveat
	MOVQ R14, DI
	LEAQ none<>(SB), SI
	LEAQ 8(R12), DX
	MOVQ SP, R10
	MOVQ $0x1000, R8
	SYSCALL

closeTree:
	MOVQ $3, AX // close
	MOVQ R14, DI
	SYSCALL
closeFile:
	MOVQ $3, AX
	MOVQ R13, DI
	SYSCALL
start:
	MOVQ $157, AX // prctl
	MOVQ $30, DI  // PR_GET_TIMERSLACK
	SYSCALL
	LEAQ -1(AX), CX
	CMPQ CX, $(1000000-1)
	JCC  begin // none, or as much already
	MOVQ AX, slack<>(SB)
	MOVQ $157, AX
	MOVQ $29, DI // PR_SET_TIMERSLACK
	MOVQ $1000000, SI
	SYSCALL
begin:
	MOVQ R12, SP
	JMP  _rt0_amd64_linux(SB)
