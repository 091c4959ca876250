/**
 * Everything the host may call of build/poly1305.wasm: the authenticator of repositories, which few need.
 */
export { result_record } from '../abi';
export { arena_allocate } from '../memory';
export { poly1305_add, poly1305_begin, poly1305_end } from './poly1305';
