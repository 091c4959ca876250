/**
 * Everything the host may call.
 */
export * from './abi';
export { arena_allocate, arena_used } from './memory';
export * from './qcow2/check';
export * from './scan/compare';
export * from './scan/zero';
