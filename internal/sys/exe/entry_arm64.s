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
	MOVD slack<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func Entry()
//
// What is at the stack's end: see entry_amd64.s. R19 keeps where that begins, R20 the
// file, R21 the mount's clone.
TEXT ·Entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD RSP, R19
	SUB  $128, RSP // struct statfs

	MOVD $56, R8 // openat
	MOVD $-100, R0
	MOVD $self<>(SB), R1
	MOVD $0x280000, R2 // O_PATH | O_CLOEXEC
	SVC
	CMP  $0, R0
	BLT  start
	MOVD R0, R20

	MOVD $44, R8 // fstatfs
	MOVD R20, R0
	MOVD RSP, R1
	SVC
	CBNZ R0, closeFile
	MOVD 80(RSP), R0 // f_flags
	TBNZ $0, R0, closeFile // ST_RDONLY

	MOVD $428, R8 // open_tree
	MOVD R20, R0
	MOVD $none<>(SB), R1
	MOVD $0x81001, R2 // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
	SVC
	CMP  $0, R0
	BLT  closeFile
	MOVD R0, R21

	MOVD $442, R8 // mount_setattr
	MOVD R21, R0
	MOVD $none<>(SB), R1
	MOVD $0x1000, R2 // AT_EMPTY_PATH
	MOVD $readOnly<>(SB), R3
	MOVD $32, R4
	SVC
	CBNZ R0, closeTree

	// The environment and one more variable.
	MOVD 0(R19), R0
	ADD  $16, R19, R22
	ADD  R0<<3, R22 // the environment
	MOVD $0, R23
count:
	MOVD (R22)(R23<<3), R0
	ADD  $1, R23
	CBNZ R0, count // R23: with the 0 at its end
	LSL  $3, R23, R0
	ADD  $8, R0
	AND  $~15, R0
	ADD  $16, R0
	MOVD RSP, R1
	SUB  R0, R1
	MOVD R1, RSP
	MOVD $processors<>(SB), R0
	MOVD R0, (R1)
copy:
	SUB  $1, R23, R2
	MOVD (R22)(R2<<3), R0
	MOVD R0, (R1)(R23<<3)
	MOVD R2, R23
	CBNZ R23, copy

	MOVD $281, R8 // execveat
	MOVD R21, R0
	MOVD R1, R3
	MOVD $none<>(SB), R1
	ADD  $8, R19, R2
	MOVD $0x1000, R4
	SVC

closeTree:
	MOVD $57, R8 // close
	MOVD R21, R0
	SVC
closeFile:
	MOVD $57, R8
	MOVD R20, R0
	SVC
start:
	MOVD $167, R8 // prctl
	MOVD $30, R0  // PR_GET_TIMERSLACK
	SVC
	SUB  $1, R0, R1
	MOVD $(1000000-1), R2
	CMP  R2, R1
	BHS  begin // none, or as much already
	MOVD R0, slack<>(SB)
	MOVD $167, R8
	MOVD $29, R0 // PR_SET_TIMERSLACK
	MOVD $1000000, R1
	SVC
begin:
	MOVD R19, RSP
	JMP  _rt0_arm64_linux(SB)
