# Completion of rc-netns(8) for fish, 3.6 or later.

# Those that exist, and those that have a service.
function __rc_netns_namespaces
    set -l files /run/netns/* /etc/init.d/netns.*
    set -q files[1]
    or return
    string match -rv -- '[[:cntrl:]]|/-[^/]*$' $files | string replace -r '^/etc/init.d/netns\.|.*/' ''
end

function __rc_netns_services
    for script in /etc/init.d/*
        test -f $script -a -x $script
        and string replace -rf '.*/([^-].*)' '$1' -- $script | string match -v '*.sh'
    end
end

function __rc_netns_interfaces
    string replace -r '.*/' '' -- /sys/class/net/*
end

complete -c rc-netns -f
complete -c rc-netns -n __fish_use_subcommand -s h -l help -d 'Print a summary'
complete -c rc-netns -n __fish_use_subcommand -s V -l version -d 'Print the version'
complete -c rc-netns -n __fish_use_subcommand -a status -d 'Show which service runs where'
complete -c rc-netns -n __fish_use_subcommand -a check -d 'Look for what would go wrong'
complete -c rc-netns -n __fish_use_subcommand -a egress -d 'Show where packets would leave'
complete -c rc-netns -n __fish_use_subcommand -a grant -d 'Print what lets a user in'
complete -c rc-netns -n __fish_use_subcommand -a repair -d 'Put right without a restart'
complete -c rc-netns -n __fish_use_subcommand -a settings -d 'Print what conf.d sets'
complete -c rc-netns -n __fish_use_subcommand -a up -d 'Make a network namespace'
complete -c rc-netns -n __fish_use_subcommand -a down -d 'Undo what up did'
complete -c rc-netns -n '__fish_seen_subcommand_from status check egress' -l json -d 'Print JSON'
complete -c rc-netns -n '__fish_seen_subcommand_from status' -l watch -d 'Repeat until interrupted'
complete -c rc-netns -n '__fish_seen_subcommand_from status check egress repair settings' -a '(__rc_netns_services)' -d Service
complete -c rc-netns -n '__fish_seen_subcommand_from settings' -s 0 -l null -d 'End each with a NUL byte'
complete -c rc-netns -n '__fish_seen_subcommand_from up' -l interface -x -a '(__rc_netns_interfaces)' -d 'Move this interface in'
complete -c rc-netns -n '__fish_seen_subcommand_from up' -l wireguard -r -F -d 'Make the interface of this file'
complete -c rc-netns -n '__fish_seen_subcommand_from up' -l veth -x -d 'Make this pair of interfaces'
complete -c rc-netns -n '__fish_seen_subcommand_from up' -l config -x -d 'Give an interface this address'
complete -c rc-netns -n '__fish_seen_subcommand_from up' -l routes -x -d 'Make this route'
complete -c rc-netns -n '__fish_seen_subcommand_from up' -l dns -x -d 'Have this name server asked'
complete -c rc-netns -n '__fish_seen_subcommand_from up' -l sysctl -x -d 'Set this sysctl'
complete -c rc-netns -n '__fish_seen_subcommand_from up repair' -s n -l dry-run -d 'Do nothing'
complete -c rc-netns -n '__fish_seen_subcommand_from repair' -s q -l quiet -d 'Print only failures'
complete -c rc-netns -n '__fish_seen_subcommand_from down' -l restart -d 'An up is to follow'
complete -c rc-netns -n '__fish_seen_subcommand_from up down' -a '(__rc_netns_namespaces)' -d 'Network namespace'
complete -c rc-netns -n '__fish_seen_subcommand_from grant; and test (count (commandline -opc)) -eq 2' -a '(__fish_complete_users)'
complete -c rc-netns -n '__fish_seen_subcommand_from grant; and test (count (commandline -opc)) -eq 3' -a '(__rc_netns_namespaces)' -d 'Network namespace'
