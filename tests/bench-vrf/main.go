// Bench-vrf runs tests/bench vrf in a virtual machine.
package main

import (
	"fmt"
	"os"
	"time"

	"openrc-netns/tests/vm"
)

func main() {
	vm.Init()
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench-vrf DIR SCRIPT, where DIR is what make install DESTDIR=DIR has filled")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-vrf:", err)
		os.Exit(1)
	}
}

func run(installed, script string) error {
	if err := vm.Check(); err != nil {
		return err
	}
	text, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	guest, err := vm.Start(vm.Options{Install: installed, Timeout: 5 * time.Minute})
	if err != nil {
		return err
	}
	defer guest.Close()
	if err := guest.WriteFile("/root/bench", 0o755, string(text)); err != nil {
		return err
	}
	result := guest.Run("BENCH_SMOKE=" + os.Getenv("BENCH_SMOKE") + " /root/bench vrf")
	fmt.Print(result.Stdout)
	return result.Err()
}
