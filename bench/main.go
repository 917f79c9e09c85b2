// Command bench measures what a request costs through Sidekong and through others, side by side.
//
//	go run ./bench peers    Sidekong, a bare ReverseProxy, otelhttp, the OpenTelemetry SDK, Caddy, Traefik, nginx, HAProxy
//	go run ./bench ladder   Sidekong with more and more to do
//	go run ./bench guard    fails where a request costs more than limits.txt allows
//	go run ./bench vm ladder
//	                        the same in a virtual machine that counts the instructions of user and kernel
//
// Each peer runs as a process of its own between the same backend and the same OTLP receiver, on loopback addresses
// alone. All loads are bounded in number and time. What cannot run here is left out, and the output says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if inVM() {
		boot(ctx)
	}
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// plan is what the command line says.
type plan struct {
	rounds   int
	duration time.Duration // of each load with 64 connections, and of each at a fixed rate
	rate     int           // requests per second
	requests int           // between the two runs whose difference counts instructions
	only     string        // comma-separated names; "": all
	limits   string
	programs string // a folder that has the programs of ours already; "": build them
	kernel   string // of the virtual machine; "": one of this machine's
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("want peers, ladder, guard or vm")
	}
	vm := args[0] == "vm" && len(args) > 1
	if vm {
		args = args[1:]
	}
	p := plan{}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.IntVar(&p.rounds, "rounds", 3, "how often each peer has its turn")
	flags.DurationVar(&p.duration, "duration", 4*time.Second, "length of a load")
	flags.IntVar(&p.rate, "rate", 1000, "requests per second of the load at a fixed rate")
	flags.IntVar(&p.requests, "requests", 6000, "requests to count instructions over; 0: do not count")
	flags.StringVar(&p.only, "only", "", "names of what to measure, with commas between")
	flags.StringVar(&p.limits, "limits", "bench/limits.txt", "what guard allows")
	flags.StringVar(&p.programs, "programs", "", "folder of programs that are built already")
	flags.StringVar(&p.kernel, "kernel", "", "Linux for the virtual machine (default one in /boot)")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if vm {
		return emulate(ctx, p, args, out)
	}
	switch args[0] {
	case "peers":
		return measurePeers(ctx, p, out)
	case "ladder":
		return measureLadder(ctx, p, out)
	case "guard":
		return guard(ctx, p, out)
	case "backend": // started by the others
		return serve(ctx, jsonAddress, backend())
	case "sink":
		return serve(ctx, 1, &sink{})
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}
