/** `@ferry/react`: live queries and mutations of a Ferry hub's functions. */
export { FerryProvider, useFerry, type FerryProviderProps } from "./provider.ts";
export { useMutation, type Mutation, type MutationOptions } from "./mutation.ts";
export { useQuery, type LoadedResult, type UseQueryOptions } from "./query.ts";
export { useStatus } from "./status.ts";
