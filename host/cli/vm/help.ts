/** What `blockyard vm -help` prints. */
import type { Tool } from '../shared/tool.ts';

export function printHelp(tool: Tool): void {
  tool.out(
    `usage: ${tool.name} [options] [disk_image]

'disk_image' is a raw hard disk image for IDE hard disk 0

A PC run by v86 (the npm package of that name must be installed), its disks served by block nodes. It has two IDE disks, a
CD drive, a serial port and no screen.

It boots what -kernel names or what is on the disks; when there is neither, a guest of
its own starts that writes records to both disks ('help' on its console tells more).

Machine options:
-machine pc,acpi=on|off
                with power management, which is usual, or without: 'system_powerdown'
                presses the power button
-m [size=]megs  set the size of memory, 128 MiB by default
-kernel file    a Linux kernel, or a multiboot kernel, which needs no BIOS
-initrd file    the initial file system of a Linux kernel
-append text    the command line of the kernel
-bios file      the BIOS, 'bios.bin' of SeaBIOS where that is installed; the VGA BIOS is
                the one beside it, or an installed one
-serial dev     the serial port: stdio, null, unix:path[,server=on][,wait=off],
                file:path, chardev:id …; stdio by default, unless something else is on it;
                mon:dev has a human monitor on the same device: Ctrl-A c changes over
-nographic      the serial port and a monitor on stdio, as mon:stdio; Ctrl-A h tells more
-name, -uuid    as shown by the monitor
-S              freeze the machine at startup (use 'cont' to start it)
-global, -set, -readconfig
                say more about devices and drives, as 'blockyard system -help' shows them
-loadvm tag     start with a state that 'savevm' has saved
-no-reboot      exit instead of rebooting when 'system_reset' is given
-no-shutdown    stop instead of exiting when the guest switches itself off

Block device options: -hda, -hdb, -cdrom, -drive, -blockdev, -device ide-hd|ide-cd and
-snapshot, as 'blockyard system -help' shows them

Monitor options:
-qmp dev, -qmp-pretty dev, -monitor dev, -mon, -chardev, -object
                as 'blockyard system -help' shows them

Other options:
-msg timestamp[=on|off]
                put the time in front of messages and of what -trace shows
-trace [[enable=]pattern][,events=file][,file=file]
                show what happens, request by request; 'help' lists the events
-pidfile file   write PID to 'file'
-daemonize      go on in the background once startup is complete
-nodefaults     don't create default devices
`,
  );
}
