package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A virtual machine counts instructions where the processor's own counters are not to be had: QEMU's -icount lets its clock
// tick once per instruction, so that the time that its kernel says a process ran, in nanoseconds, is the number of
// instructions that it took, those of the kernel included. It is the same from run to run, but for the order of things.
//
// The machine has one processor, this program as its first process, and what is to be measured in programsFolder.

// The files of the machine.
const (
	argsFile       = "args" // a line for each of the program's arguments
	programsFolder = "programs"
)

// console is where the machine writes to; what matters stands between the marks.
const (
	console   = "/dev/ttyS0"
	beginMark = "== begin"
	endMark   = "== end"
	failMark  = "== failed: "
)

// inVM reports whether this is the first process of a virtual machine.
func inVM() bool { return os.Getpid() == 1 }

// emulate runs a command of this program in a virtual machine.
func emulate(ctx context.Context, p plan, args []string, out io.Writer) error {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return fmt.Errorf("%w: it is in Debian's package qemu-system-x86", err)
	}
	if p.kernel == "" {
		kernels, _ := filepath.Glob("/boot/vmlinuz-*")
		if len(kernels) == 0 {
			return errors.New("no Linux in /boot: give one with -kernel, as in Debian's package linux-image-cloud-amd64")
		}
		p.kernel = slices.Max(kernels)
	}
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	initrd, err := p.machine(ctx, folder, args)
	if err != nil {
		return fmt.Errorf("make a virtual machine: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, "-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "max,-erms,-fsrm", "-smp", "1", "-m", "3072",
		"-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", p.kernel, "-initrd", initrd,
		// A processor of today needs none of the mitigations.
		"-append", "console=ttyS0 quiet mitigations=off panic=-1")
	cmd.Stderr = os.Stderr
	serial, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(copyMarked(out, serial), cmd.Wait())
}

// copyMarked copies what a machine writes between the marks.
func copyMarked(out io.Writer, serial io.Reader) error {
	lines := bufio.NewScanner(serial)
	var log []string // what it writes before
	for begun := false; lines.Scan(); {
		line := strings.TrimRight(lines.Text(), "\r")
		switch why, failed := strings.CutPrefix(line, failMark); {
		case failed:
			return errors.New(why)
		case line == endMark:
			_, _ = io.Copy(io.Discard, serial)
			return nil
		case begun:
			fmt.Fprintln(out, line)
		default:
			log = append(log, line)
			begun = line == beginMark
		}
	}
	return fmt.Errorf("the virtual machine ended early: %s", tail(strings.Join(log, "\n")))
}

// machine writes the files of a machine that runs this program with args.
func (p plan) machine(ctx context.Context, folder string, args []string) (initrd string, err error) {
	init := filepath.Join(folder, "init")
	if err := build(ctx, ".", "./bench", init); err != nil {
		return "", err
	}
	initrd = filepath.Join(folder, "initrd")
	file, err := os.Create(initrd)
	if err != nil {
		return "", err
	}
	defer file.Close()
	packed, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err != nil {
		return "", err
	}
	a := &archive{to: packed}
	for _, name := range []string{"proc", "dev", "tmp", programsFolder} {
		a.add(name, unix.S_IFDIR|0o755, nil)
	}
	a.addFile("init", init)
	args = append(slices.Clone(args), "-programs", "/"+programsFolder)
	a.add(argsFile, unix.S_IFREG|0o644, []byte(strings.Join(args, "\n")))
	added := map[string]bool{}
	for _, r := range p.chosen(slices.Concat(steps(), peers())...) {
		program, err := r.peer.program(ctx, folder)
		if err != nil {
			return "", fmt.Errorf("%s: %w", r.peer.name, err)
		}
		if !added[program] {
			added[program] = true
			a.addFile(path.Join(programsFolder, filepath.Base(program)), program)
		}
	}
	a.add("TRAILER!!!", 0, nil)
	return initrd, errors.Join(a.err, packed.Close(), file.Close())
}

// archive is a cpio archive in the "newc" format (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	to    io.Writer
	files int
	err   error
}

func (a *archive) addFile(name, from string) {
	content, err := os.ReadFile(from)
	a.err = errors.Join(a.err, err)
	a.add(name, unix.S_IFREG|0o755, content)
}

func (a *archive) add(name string, mode int, content []byte) {
	a.files++
	head := "070701"
	for _, field := range []int{a.files, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0} {
		head += fmt.Sprintf("%08x", field)
	}
	padding := func(n int) string { return "\x00\x00\x00"[:-n&3] }
	head += name + "\x00"
	head += padding(len(head))
	_, err := io.WriteString(a.to, head)
	a.err = errors.Join(a.err, err)
	_, err = a.to.Write(content)
	a.err = errors.Join(a.err, err)
	_, err = io.WriteString(a.to, padding(len(content)))
	a.err = errors.Join(a.err, err)
}

// boot is what the first process of a machine does. It does not return.
func boot(ctx context.Context) {
	err := func() error {
		for _, mount := range [][2]string{{"proc", "/proc"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}} {
			if err := unix.Mount(mount[0], mount[1], mount[0], 0, ""); err != nil {
				return fmt.Errorf("mount %s: %w", mount[1], err)
			}
		}
		tty, err := os.OpenFile(console, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		os.Stdout, os.Stderr = tty, tty
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("set up loopback: %w", err)
		}
		args, err := os.ReadFile("/" + argsFile)
		if err != nil {
			return err
		}
		fmt.Println(beginMark)
		return run(ctx, strings.Split(string(args), "\n"), os.Stdout)
	}()
	if err != nil {
		fmt.Println(failMark + strings.ReplaceAll(err.Error(), "\n", " "))
	} else {
		fmt.Println(endMark)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// loopbackUp sets up the network that every test stays on.
func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}
