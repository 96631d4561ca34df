CREATE TABLE "postern"."deployment" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C" DEFAULT replace(gen_random_uuid()::text, '-', '') NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "deployment_platform_id_pk" PRIMARY KEY("platform","id")
);
--> statement-breakpoint
ALTER TABLE "postern"."deployment" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."signal_entries" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"entry" text COLLATE "C" NOT NULL,
	CONSTRAINT "signal_entries_platform_id_pk" PRIMARY KEY("platform","id")
);
--> statement-breakpoint
ALTER TABLE "postern"."signal_entries" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."signal_nodes" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"heard" bigint DEFAULT 0 NOT NULL,
	"until_ms" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "signal_nodes_platform_id_pk" PRIMARY KEY("platform","id")
);
--> statement-breakpoint
ALTER TABLE "postern"."signal_nodes" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."signal_state" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"born_ms" bigint DEFAULT 0 NOT NULL,
	"seen_ms" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "signal_state_platform_id_pk" PRIMARY KEY("platform","id")
);
--> statement-breakpoint
ALTER TABLE "postern"."signal_state" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE POLICY "platform_log" ON "postern"."deployment" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "platform_passing" ON "postern"."signal_entries" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "platform_passing" ON "postern"."signal_nodes" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "platform_passing" ON "postern"."signal_state" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));