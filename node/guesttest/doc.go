// Package guesttest runs test programs in a small virtual machine: another kernel and other cgroups than this machine
// has, without touching either. Kernel and tools are Debian packages, unpacked and never installed here; the programs are
// static test binaries. There is no network but the guest's own loopback.
//
// Where /dev/kvm is there and works, it is used; else QEMU emulates the processors, many times slower.
package guesttest
