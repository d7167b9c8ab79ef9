//go:build cgo

package spawn

const withC = true
