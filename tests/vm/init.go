package vm

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The names that make this binary one of the three processes.
const (
	hostName  = "vm-host"
	initName  = "vm-init"
	agentName = "vm-agent"
)

var initialized bool

// Init has to be called first of all in the main or TestMain of a program that
// makes virtual machines; before or after machine.Init is all the same. In the
// three other processes of a virtual machine, which are the same binary, it
// never returns.
func Init() {
	var err error
	switch os.Args[0] {
	case hostName:
		var s spec
		if err = json.Unmarshal([]byte(os.Args[1]), &s); err == nil {
			err = runHost(s)
		}
	case initExe:
		var s spec
		if s, err = readOrders(); err == nil {
			err = runInit(s)
		}
		fmt.Fprintf(os.Stderr, "%s: %v\n", initName, err)
		unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	case agentName:
		err = serve(len(os.Args) > 1)
	default:
		unix.Umask(0o022)
		initialized = true
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}
