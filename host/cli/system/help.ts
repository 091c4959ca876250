/** What `-help`, `-version` and the lists behind `help` arguments print. */
import { deviceTypes } from '../../machine/device-types.ts';
import { machineTypes } from '../../machine/machine-types.ts';
import { versionText } from '../../qmp/version.ts';
import type { Tool } from '../shared/tool.ts';

export function printVersion(tool: Tool): void {
  tool.out(`QEMU emulator version ${versionText}\n`);
}

export function printMachines(tool: Tool): void {
  tool.out('Supported machines are:\n');
  const lines = machineTypes.flatMap(({ name, aliases, description }) => [
    ...aliases.map((alias) => `${alias.padEnd(20)} ${description} (alias of ${name})`),
    `${name.padEnd(20)} ${description}${aliases.includes('pc') ? ' (default)' : ''}`,
  ]);
  tool.out(`${lines.sort().join('\n')}\n`);
}

const busNames: Readonly<Record<string, string>> = { 'floppy-bus': 'floppy-bus' };

export function printDevices(tool: Tool): void {
  const line = ({ name, busKind, aliases, description }: (typeof deviceTypes)[number]): string =>
    [
      `name "${name}"`,
      `bus ${busNames[busKind] ?? busKind}`,
      ...(aliases ?? []).map((alias) => `alias "${alias}"`),
      ...(description === undefined ? [] : [`desc "${description}"`]),
    ].join(', ');
  tool.out(`Storage devices:\n${deviceTypes.map(line).join('\n')}\n`);
}

/** `-device MODEL,help` */
export function printDeviceProperties(tool: Tool, type: (typeof deviceTypes)[number]): void {
  const lines = [...type.properties]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, typeName, initial }) => `  ${name}=<${typeName}>`.padEnd(24) + defaultText(initial));
  tool.out(`${type.name} options:\n${lines.join('\n')}\n`);
}

function defaultText(initial: string | number | boolean): string {
  if (initial === '') return '';
  return ` -  (default: ${typeof initial === 'string' ? `"${initial}"` : initial})`;
}

export function printHelp(tool: Tool): void {
  tool.out(`usage: ${tool.name} [options] [disk_image]\n\n${options}`);
}

const options = `'disk_image' is a raw hard disk image for IDE hard disk 0

The storage of a machine without a processor: block nodes, drives, devices, jobs
and both monitors.

Standard options:
-h or -help     display this help and exit
-version        display version information and exit
-machine [type=]name[,accel=qtest|tcg]
                selects the machine ('-machine help' for list)
-accel qtest|tcg
                with qtest, time stands still between clock_step commands
-name [guest=]string
                set the name of the guest
-uuid %08x-%04x-%04x-%04x-%012x
                specify machine UUID

Block device options:
-fda/-fdb file  use 'file' as floppy disk 0/1 image
-hda/-hdb file  use 'file' as hard disk 0/1 image
-hdc/-hdd file  use 'file' as hard disk 2/3 image
-cdrom file     use 'file' as CD-ROM image
-blockdev [driver=]driver[,node-name=N][,discard=ignore|unmap]
          [,cache.direct=on|off][,cache.no-flush=on|off]
          [,read-only=on|off][,auto-read-only=on|off]
          [,force-share=on|off][,detect-zeroes=on|off|unmap]
          [,driver specific parameters...]
                configure a block backend
-drive [file=file][,if=type][,bus=n][,unit=m][,media=d][,index=i]
       [,cache=writethrough|writeback|none|directsync|unsafe][,format=f]
       [,snapshot=on|off][,rerror=ignore|stop|report]
       [,werror=ignore|stop|report|enospc][,id=name]
       [,aio=threads|native|io_uring]
       [,readonly=on|off][,copy-on-read=on|off]
       [,discard=ignore|unmap][,detect-zeroes=on|off|unmap]
       [[,bps=b]|[[,bps_rd=r][,bps_wr=w]]]
       [[,iops=i]|[[,iops_rd=r][,iops_wr=w]]]
       [[,bps_max=bm]|[[,bps_rd_max=rm][,bps_wr_max=wm]]]
       [[,iops_max=im]|[[,iops_rd_max=irm][,iops_wr_max=iwm]]]
       [[,iops_size=is]]
       [[,group=g]]
                use 'file' as a drive image
-snapshot       write to temporary files instead of disk image files

Device options:
-device driver[,prop[=value][,...]]
                add device (based on driver)
                use '-device help' to print all possible drivers
                use '-device driver,help' to print all possible properties

-global driver.property=value
-global driver=driver,property=property,value=value
                set what a property is of all devices of a type
-set group.id.arg=value
                set <arg> parameter for item <id> of type <group>
-readconfig file
                read options from a configuration file

Monitor options:
-chardev backend,id=id[,...]
                configure a character device
-monitor dev    open a human monitor on a character device
-qmp dev        open a QMP monitor on a character device
-qmp-pretty dev the same, with pretty-printed JSON
-serial dev, -parallel dev
                a port of the machine, at which nobody listens
-mon [chardev=]name[,mode=readline|control][,pretty[=on|off]]
                open a monitor on a character device of -chardev: a human one,
                or with mode=control QMP
-object TYPE,id=ID[,...]
                create an object

Other options:
-loadvm tag     start with a machine that 'savevm' has saved
-S              freeze the machine at startup (use 'cont' to start it)
-qtest dev      take commands of the qtest protocol
-qtest-log file write the commands and answers of -qtest to a file
-msg timestamp[=on|off]
                put the time in front of messages and of what -trace shows
-trace [[enable=]pattern][,events=file][,file=file]
                show what happens, request by request; 'help' lists the events
-pidfile file   write PID to 'file'
-daemonize      go on in the background once startup is complete
-nodefaults     don't create default devices
-no-reboot      exit instead of rebooting
-m, -smp, -cpu, -nographic, -display none, -vga none,
-net none, -nic none, -no-shutdown
                taken as they are: there is no such part
`;
