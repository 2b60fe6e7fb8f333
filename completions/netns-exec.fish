# Completion of netns-exec(8) for fish, 3.6 or later.

# The command line up to the cursor, without assignments before the command.
function __netns_exec_before
    set -l words (commandline -opc)
    while string match -q '*=*' -- $words[1]
        set -e words[1]
    end
    printf '%s\n' $words
end

# Take a command line apart. Prints where it ends: "value" of an option;
# "options", where an option or NETNS may come; "service", where an option or
# the command may come; "command" and the number of its first word. NETNS is
# printed last, if there is one.
function __netns_exec_parse
    set -l option
    set -l place options
    set -l netns
    set -l i 0
    for word in $argv
        set i (math $i + 1)
        if test $i = 1
            continue
        else if test -n "$netns"
            # The word after NETNS.
            test "$word" = --
            and set i (math $i + 1)
            printf '%s\n' command $i $netns
            return
        else if test -n "$option"
            test $option = service
            and set place service
            set option
            continue
        end
        switch $word
            case --
                printf '%s\n' command (math $i + 1)
                return
            case --service --user --hide --vrf --keep-cap --cgroup
                set option (string sub -s 3 -- $word)
            case '--service=*'
                set place service
            case '--*'
            case '-*'
                switch (string replace -r '^-[^su]*' '' -- $word)
                    case s
                        set option service
                    case u
                        set option user
                    case 's*'
                        set place service
                end
            case '*'
                if test $place = service
                    printf '%s\n' command $i
                    return
                end
                set netns $word
        end
    end
    if test -n "$netns"
        printf '%s\n' command (math $i + 1) $netns
    else if test -n "$option"
        echo value
    else
        echo $place
    end
end

# Is the cursor at one of these places?
function __netns_exec_at
    set -l place (__netns_exec_parse (__netns_exec_before))
    contains -- $place[1] $argv
end

# What the command itself completes to.
function __netns_exec_command
    set -l words (__netns_exec_before)
    set -l place (__netns_exec_parse $words)
    set -l start 1
    test "$place[1]" = command
    and set start $place[2]
    or set start (math (count $words) + 1)
    set -l typed (commandline -ct)
    if test $start -le (count $words)
        __fish_complete_subcommand --commandline (string escape -- $words[$start..-1]) "$typed"
    else if test "$words[-1]" != -- && string match -q -- '-*' "$typed"
        printf '%s\t%s\n' -- 'the command follows'
    else
        __fish_complete_subcommand --commandline "$typed"
    end
end

# The names of network namespaces, except those that would be taken for options.
function __netns_exec_names
    set -l files /run/netns/*
    set -q files[1]
    or return
    string match -rv -- '[[:cntrl:]]|/-[^/]*$' $files | string replace -r '.*/' ''
end

# The value that is being typed.
function __netns_exec_value
    string replace -r '^--[a-z]+=' '' -- (commandline -ct)
end

# Users, and after a colon groups.
function __netns_exec_users
    set -l user (string match -r '^[^:]+:' -- (__netns_exec_value))
    if test -n "$user"
        test -r /etc/group
        and string replace -r ':.*' '' </etc/group | string replace -r '^' (string escape --style=regex -- $user)
    else
        test -r /etc/passwd
        and string replace -r ':.*' '' </etc/passwd
    end
end

# The services that conf.d confines: netns-exec takes no others.
function __netns_exec_services
    set -l confs /etc/conf.d/*
    set confs (grep -lsE '^[[:blank:]]*(export[[:blank:]]+)?(netns|vrf|netns_lock)=' $confs /dev/null | string replace -r '.*/' '')
    for script in /etc/init.d/*
        set -l name (string replace -r '.*/' '' -- $script)
        if test -f $script -a -x $script && not string match -qr -- '^-|\.sh$' $name
            contains -- $name $confs || contains -- (string replace -r '\..*' '' -- $name) $confs
            and printf '%s\n' $name
        end
    end
end

# The VRF devices of the network namespace on the command line, or of this one:
# those with the flags IFF_MASTER and IFF_NOARP (linux/if.h). A service's
# namespace is not on the command line. Only some releases of fish show
# completions what is after the cursor.
function __netns_exec_vrfs
    set -l before (__netns_exec_before)
    set -l after (commandline -op)
    set -e after[1..(count (commandline -opc))]
    test -n "$(commandline -t)"
    and set -e after[1]
    set -l place (__netns_exec_parse $before)
    test $place[1] = value
    and set before $before x
    set -l look "grep -lsx '0x[0-9a-f]*[4-7c-f][89a-f][0-9a-f]' /sys/class/net/*/flags"
    set -l devices
    set place (__netns_exec_parse $before $after)
    if set -q place[3]
        set devices (netns-exec --no-etc $place[3] -- sh -c $look </dev/null 2>/dev/null)
    else if test $place[1] = options
        set devices (sh -c $look </dev/null 2>/dev/null)
    end
    string replace -r '^.*/([^/]*)/flags$' '$1' -- $devices
end

complete -c netns-exec -f
complete -c netns-exec -n '__netns_exec_at options service value' -s s -l service -x -a '(__netns_exec_services)' -d 'Take namespace and settings from conf.d'
complete -c netns-exec -n '__netns_exec_at options service value' -s u -l user -x -a '(__netns_exec_users)' -d 'Become this user'
complete -c netns-exec -n '__netns_exec_at options' -l caller -d 'Become the user of sudo or doas'
complete -c netns-exec -n '__netns_exec_at options service value' -l no-etc -d 'Leave /etc as it is'
complete -c netns-exec -n '__netns_exec_at options service value' -l hide -r -F -d 'Hide this file or directory'
complete -c netns-exec -n '__netns_exec_at options service value' -l vrf -x -a '(__netns_exec_vrfs)' -d 'Bind every IP socket to this VRF device'
complete -c netns-exec -n '__netns_exec_at options service' -l lock -d 'No IP sockets in other namespaces, no way out through the kernel'
complete -c netns-exec -n '__netns_exec_at options service value' -l keep-cap -x -a 'bpf checkpoint_restore dac_read_search mknod net_admin perfmon sys_admin sys_boot sys_module sys_ptrace sys_rawio' -d 'Keep this capability, which opens a way out'
complete -c netns-exec -n '__netns_exec_at options service value' -l cgroup -x -d 'The control group for --vrf and --lock'
complete -c netns-exec -n '__netns_exec_at options service' -s n -l dry-run -d 'Print the plan, run nothing'
complete -c netns-exec -n '__netns_exec_at options service' -s h -l help -d 'Print a summary'
complete -c netns-exec -n '__netns_exec_at options service' -s V -l version -d 'Print the version'
complete -c netns-exec -n '__netns_exec_at options' -a '(__netns_exec_names)' -d 'Network namespace'
complete -c netns-exec -n '__netns_exec_at options; and string match -q "*/*" -- (commandline -ct)' -F
complete -c netns-exec -n '__netns_exec_at service command' -a '(__netns_exec_command)'
